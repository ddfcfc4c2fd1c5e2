// A ghostlight of the test's own: folder, ports, keys, and a search of all output for the keys.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, start, stop, until } from './process.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
export const binary = process.env.GHOSTLIGHT_BIN
  ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release/ghostlight');

/** A port nobody listens on at this moment. */
export async function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Server {
  /** Starts a server and waits until it is ready. `env` holds settings. */
  static async start({ env = {}, args = [], folder } = {}) {
    const server = new Server();
    server.ownFolder = !folder;
    server.folder = folder ?? mkdtempSync(join(tmpdir(), 'ghostlight-'));
    server.ports = { http: await freePort(), rtmp: await freePort(), admin: await freePort() };
    server.http = `http://127.0.0.1:${server.ports.http}`;
    server.admin = `http://127.0.0.1:${server.ports.admin}`;
    server.rtmp = `rtmp://127.0.0.1:${server.ports.rtmp}/live`;
    server.env = { PATH: process.env.PATH, HOME: server.folder, NO_COLOR: '1', ...env };
    server.keys = [];
    server.others = [];
    server.judges = new Map();
    server.process = start(binary, [
      'serve', '--data', server.folder,
      '--http', `127.0.0.1:${server.ports.http}`,
      '--rtmp', `127.0.0.1:${server.ports.rtmp}`,
      '--admin', `127.0.0.1:${server.ports.admin}`, ...args,
    ], { env: server.env });
    await until('the server is ready', async () => {
      assert.equal(server.process.code, null, `the server left:\n${server.process.output}`);
      return (await fetch(`${server.http}/readyz`)).ok;
    });
    return server;
  }

  /** Runs another ghostlight command on the same data. */
  command(...args) {
    return run(binary, [...args, '--data', this.folder], { env: this.env });
  }

  /** A new key of a channel: what the command prints alone on standard output. */
  async key(channel, ...args) {
    const added = await this.command('key', 'add', channel, ...args);
    assert.equal(added.code, 0, added.output);
    const key = added.stdout.trim();
    assert.match(key, /^\S+$/, 'the key stands alone on standard output');
    this.keys.push(key);
    return key;
  }

  /** Remembers a process whose output must hold no key either. */
  watch(process) {
    this.others.push(process);
    return process;
  }

  async get(path, options) {
    return fetch(this.http + path, options);
  }

  async status(channel) {
    return (await this.get(`/api/v1/channels/${channel}`)).json();
  }

  /**
   * Waits for a broadcast, which is judged from then on unless its encoder misbehaves. `excused`:
   * rules that it breaks for a reason given where it is excused.
   */
  async live(channel, { judged = true, excused = [], ...options } = {}) {
    const isLive = async () => (await this.status(channel)).state === 'live';
    const found = await until(`${channel} is live`, isLive, options);
    if (judged && !this.judges.has(channel)) {
      const address = `${this.http}/${channel}/index.m3u8`;
      const args = ['check', address, '--seconds', '20', '--json'];
      this.judges.set(channel, { judge: start(binary, args, { env: this.env }), excused });
    }
    return found;
  }

  /** What `ghostlight check` has seen of each broadcast: nothing broken. */
  async #verdicts() {
    const broken = [];
    for (const [channel, { judge, excused }] of this.judges) {
      await stop(judge, { signal: 'SIGINT', grace: 15_000 });
      assert.ok(judge.stdout, `${channel} was not judged:\n${judge.output}`);
      const { rules } = JSON.parse(judge.stdout);
      for (const rule of rules.filter((r) => r.outcome === 'broken' && !excused.includes(r.id))) {
        broken.push(...rule.findings.map(({ what }) => `${channel} breaks ${rule.id}: ${what}`));
      }
    }
    assert.deepEqual(broken, []);
  }

  async metrics() {
    return (await fetch(`${this.admin}/metrics`)).text();
  }

  /**
   * Hears the verdict on every broadcast, stops the server, then searches everything anybody
   * printed or served for the keys.
   */
  async stop() {
    const verdicts = await this.#verdicts().catch((error) => error);
    const shown = [
      await this.metrics().catch(() => ''),
      await this.get('/').then((r) => r.text()).catch(() => ''),
      await this.get('/api/v1/channels').then((r) => r.text()).catch(() => ''),
    ];
    await stop(this.process);
    shown.push(this.process.output);
    if (this.ownFolder) rmSync(this.folder, { recursive: true, force: true });
    for (const key of this.keys) {
      const secret = key.split('_').pop();
      for (const text of shown) {
        assert.ok(!text.includes(secret), `a stream key shows in:\n${text.slice(0, 2_000)}`);
      }
    }
    assert.ok(!/panicked at/.test(this.process.output), this.process.output);
    if (verdicts) throw verdicts;
    return this.process;
  }
}
