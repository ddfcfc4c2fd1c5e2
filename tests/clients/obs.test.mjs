// The broadcaster's own program: it publishes, and after the closing date it is refused with a
// code that it understands and a text that reaches its log.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mediaPlaylist, probe } from './lib/hls.mjs';
import { Obs } from './lib/obs.mjs';
import { sleep, until } from './lib/process.mjs';
import { Server } from './lib/server.mjs';

test('OBS publishes', async () => {
  const server = await Server.start();
  const key = await server.key('studio');
  const obs = await Obs.start({ server: server.rtmp, key });
  try {
    await server.live('studio', { limit: 40_000 }).catch((error) => {
      throw new Error(`${error.message}\n${obs.log().slice(-4_000)}\n${obs.process.output}`);
    });
    const { address, multivariant } = await mediaPlaylist(server, 'studio');
    await sleep(3_000);
    const { streams, complaints } = await probe(address);
    assert.deepEqual(complaints, []);
    assert.deepEqual(streams.map((s) => s.codec_name).sort(), ['aac', 'h264']);
    assert.match(multivariant, /RESOLUTION=640x360/);
    assert.match(obs.log(), /Connection to .* successful/);
  } finally {
    await obs.stop();
    await server.stop();
  }
});

test('OBS is refused after the closing date: code and text are in its log', async () => {
  const open = await Server.start();
  const key = await open.key('studio');
  const folder = open.folder;
  open.ownFolder = false;
  await open.stop();
  const server = await Server.start({
    folder, env: { GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT: '2026-03-31T23:59:59+00:00' },
  });
  server.ownFolder = true;
  server.keys.push(key);
  const obs = await Obs.start({ server: server.rtmp, key });
  try {
    const log = await until('the refusal is in the log', async () => (
      /NetStream\.Publish\.Denied/.test(obs.log()) && obs.log()), { limit: 40_000 })
      .catch((error) => { throw new Error(`${error.message}\n${obs.log().slice(-4_000)}`); });
    assert.match(log, /Publish\.Denied.*2026-03-31T23:59:59/s);
    assert.equal((await server.status('studio')).state, 'closed');
    const counted = /rtmp_connections_ended_total\{[^}]*broadcasts-closed[^}]*\} [1-9]/;
    await until('the refusal is counted', async () => counted.test(await server.metrics()));
  } finally {
    await obs.stop();
    await server.stop();
  }
});
