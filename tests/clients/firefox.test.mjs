// Firefox watches with hls.js: it has no player of its own for playlists.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { firefox, open, playing, stats } from './lib/browser.mjs';
import { clockPlace, percentile, publishClock, readDelays } from './lib/clock.mjs';
import { sleep, stop } from './lib/process.mjs';
import { Server } from './lib/server.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await firefox();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test('it plays, two seconds behind, without a stall', async (t) => {
  const key = await server.key('fox');
  const publisher = server.watch(publishClock(`${server.rtmp}/${key}`));
  try {
    await server.live('fox');
    await sleep(3_000);
    const page = await open(browser, `${server.http}/fox`);
    const { engine, firstFrameMs, startMs } = await playing(page, { limit: 30_000 });
    assert.equal(engine, 'hls.js');
    await sleep(3_000);
    const before = await stats(page);
    const delays = await page.evaluate(readDelays, { ms: 10_000, ...clockPlace });
    const end = await stats(page);
    t.diagnostic(`first frame ${Math.round(firstFrameMs)} ms after opening, ${Math.round(startMs)} ms after loading`);
    t.diagnostic(`glass to glass p50 ${percentile(delays, 0.5)} ms, p95 ${percentile(delays, 0.95)} ms, ${delays.length} frames`);
    t.diagnostic(`stalls ${end.stalls} (${before.stalls} while starting), dropped ${end.droppedFrames} of ${end.decodedFrames}`);
    assert.equal(end.stalls, before.stalls, JSON.stringify(end));
    assert.ok(delays.length > 60, `${delays.length} frames were shown`);
    assert.ok(percentile(delays, 0.5) < 3_000, `${percentile(delays, 0.5)} ms`);
    assert.deepEqual(page.complaints, []);
  } finally {
    await stop(publisher, { signal: 'SIGINT' });
  }
});
