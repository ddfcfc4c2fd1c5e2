// Shaka Player, in a page of another site, watches with low latency.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { chromium, open } from './lib/browser.mjs';
import { mediaPlaylist, probe } from './lib/hls.mjs';
import { sleep, stop, until } from './lib/process.mjs';
import { ffmpeg } from './lib/publish.mjs';
import { Server } from './lib/server.mjs';

const library = readFileSync(createRequire(import.meta.url).resolve('shaka-player/dist/shaka-player.compiled.js'));
const page = `<!doctype html><link rel="icon" href="data:,"><video muted width="320"></video>
<script src="/shaka.js"></script>
<script>
  window.errors = [];
  window.play = async (address) => {
    shaka.polyfill.installAll();
    const video = document.querySelector('video');
    window.player = new shaka.Player();
    await player.attach(video);
    player.addEventListener('error', (event) => errors.push(JSON.stringify(event.detail)));
    player.configure({ streaming: { lowLatencyMode: true } });
    await player.load(address);
    await video.play();
  };
</script>`;

let server;
let browser;
let site;
before(async () => {
  server = await Server.start();
  browser = await chromium();
  site = createServer((request, response) => {
    const script = request.url === '/shaka.js';
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(script ? library : page);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  site?.close();
  await browser?.close();
  await server?.stop();
});

// H120: a player that nobody here wrote.
test('Shaka plays ten seconds without an error and without a stall', async (t) => {
  const key = await server.key('shaka');
  const publisher = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  try {
    await server.live('shaka');
    await sleep(8_000);
    const tab = await open(browser, `http://127.0.0.1:${site.address().port}/`);
    const address = `${server.http}/shaka/index.m3u8`;
    await tab.evaluate((from) => window.play(from), address);
    const at = () => tab.evaluate(() => document.querySelector('video').currentTime);
    const from = await until('the picture moves', at);
    const began = Date.now();
    await until('ten seconds have played', async () => await at() - from >= 10, { limit: 20_000 });
    const took = Date.now() - began;
    const seen = await tab.evaluate(() => ({
      errors: window.errors,
      latency: window.player.getStats().liveLatency,
      stalls: window.player.getStats().stallsDetected,
      size: [document.querySelector('video').videoWidth, document.querySelector('video').videoHeight],
    }));
    t.diagnostic(`ten seconds in ${took} ms, ${seen.latency} s behind`);
    assert.deepEqual(seen.errors, []);
    assert.deepEqual(tab.complaints, []);
    assert.deepEqual([seen.stalls, seen.size], [0, [320, 180]]);
    assert.ok(took < 12_000, `${took} ms for ten seconds`);
    const { complaints } = await probe((await mediaPlaylist(server, 'shaka')).address);
    assert.deepEqual(complaints, [], 'ffprobe reads the same playlist');
  } finally {
    await stop(publisher, { signal: 'SIGINT' });
  }
});
