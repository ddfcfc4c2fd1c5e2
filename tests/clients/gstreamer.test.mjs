// Both RTMP sinks of GStreamer publish.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mediaPlaylist, probe } from './lib/hls.mjs';
import { sleep, start, stop } from './lib/process.mjs';
import { Server } from './lib/server.mjs';

let server;
before(async () => { server = await Server.start(); });
after(async () => { await server.stop(); });

const picture = `videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1
  ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=60 bitrate=500
  ! video/x-h264,profile=baseline ! h264parse ! mux.`;
const sound = `audiotestsrc is-live=true ! audio/x-raw,rate=44100
  ! avenc_aac ! aacparse ! mux.`;
const words = (text) => text.trim().split(/\s+/);

for (const [sink, suffix] of [['rtmpsink', ' live=1'], ['rtmp2sink', '']]) {
  test(sink, async () => {
    const key = await server.key(sink);
    const publisher = server.watch(start('gst-launch-1.0', [
      '-q', ...words('flvmux name=mux streamable=true !'),
      sink, `location=${server.rtmp}/${key}${suffix}`, ...words(picture), ...words(sound),
    ]));
    try {
      await server.live(sink).catch((error) => {
        throw new Error(`${error.message}\n${publisher.output}`);
      });
      await sleep(2_500);
      const { address } = await mediaPlaylist(server, sink);
      const { streams, complaints } = await probe(address);
      assert.deepEqual(complaints, []);
      assert.deepEqual(streams.map((s) => s.codec_name).sort(), ['aac', 'h264']);
    } finally {
      await stop(publisher, { signal: 'SIGINT' });
    }
  });
}
