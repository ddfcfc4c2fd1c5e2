// What ffprobe and a plain reader see of a channel.
import assert from 'node:assert/strict';
import { run, until } from './process.mjs';

/** The address of a channel's media playlist, read from its multivariant playlist. */
export async function mediaPlaylist(server, channel) {
  const address = `${server.http}/${channel}/index.m3u8`;
  const text = await until(`${channel} has a playlist`, async () => {
    const answer = await fetch(address);
    return answer.ok && answer.text();
  });
  const line = text.split('\n').find((l) => l && !l.startsWith('#'));
  assert.ok(line, `no rendition in:\n${text}`);
  return { address: new URL(line, address).href, multivariant: text };
}

// FFmpeg fetches the init segment again after every reload of a live playlist and then says so.
const RELOADED_INIT = 'Found duplicated MOOV Atom. Skipped it';

/** Streams as ffprobe reads them; every complaint of its reader is an error. */
export async function probe(address, { program = 'ffprobe', seconds = 6 } = {}) {
  const probed = await run(program, [
    '-hide_banner', '-loglevel', 'warning', '-live_start_index', '0',
    '-read_intervals', `%+${seconds}`, '-count_packets', '-show_streams', '-show_format',
    '-of', 'json', address,
  ], { limit: 60_000 });
  assert.equal(probed.code, 0, probed.output);
  const complaints = probed.stderr.split('\n')
    .filter((line) => line.trim() && !line.includes(RELOADED_INIT));
  return { streams: JSON.parse(probed.stdout).streams, complaints };
}
