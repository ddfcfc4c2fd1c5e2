// Child processes that never outlive the test and whose every line is kept.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** Starts a program; `output` grows with all it prints. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const run = { child, command, args, output: '', stdout: '', stderr: '', code: null, signal: null };
  running.add(child);
  child.stdout.on('data', (data) => { run.output += data; run.stdout += data; });
  child.stderr.on('data', (data) => { run.output += data; run.stderr += data; });
  child.stdin.on('error', () => {});
  run.exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      running.delete(child);
      Object.assign(run, { code, signal });
      resolve(run);
    });
  });
  run.exited.catch(() => {});
  return run;
}

/** Runs a program to its end, or kills it after `limit` ms and says so. */
export async function run(command, args, { limit = 60_000, ...options } = {}) {
  const process = start(command, args, options);
  const timer = setTimeout(() => process.child.kill('SIGKILL'), limit);
  await process.exited;
  clearTimeout(timer);
  return process;
}

/** Asks a program to stop, and insists after `grace` ms. */
export async function stop(process, { signal = 'SIGTERM', grace = 15_000 } = {}) {
  if (process.code !== null || process.signal !== null) return process;
  process.child.kill(signal);
  const timer = setTimeout(() => process.child.kill('SIGKILL'), grace);
  await process.exited;
  clearTimeout(timer);
  return process;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks `question` until it answers something true; throws with `what` after `limit` ms. */
export async function until(what, question, { limit = 20_000, pause = 50 } = {}) {
  const end = Date.now() + limit;
  let last;
  while (Date.now() < end) {
    try {
      const answer = await question();
      if (answer) return answer;
    } catch (error) { last = error; }
    await sleep(pause);
  }
  throw new Error(`${what}: not within ${limit} ms${last ? ` (${last.message})` : ''}`);
}
