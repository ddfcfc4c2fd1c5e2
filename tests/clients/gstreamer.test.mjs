// Both RTMP sinks of GStreamer publish, and both of its HLS players play.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { mediaPlaylist, probe } from './lib/hls.mjs';
import { sleep, start, stop, until } from './lib/process.mjs';
import { ffmpeg } from './lib/publish.mjs';
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

/** Seconds of media that a sink has shown, from the first to the last time stamp it printed. */
function shown(player, sink) {
  const stamps = [...player.output.matchAll(new RegExp(`${sink}: last-message.* pts: (\\d+):(\\d+):([\\d.]+)`, 'g'))];
  const [first = 0, last = 0] = [stamps.at(0), stamps.at(-1)].map(
    ([, hours, minutes, seconds] = []) => Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds),
  );
  return last - first || 0;
}

// H120: players that nobody here wrote; hlsdemux2 stands behind playbin3, its predecessor behind playbin.
for (const element of ['playbin3', 'playbin']) {
  test(`${element} plays ten seconds in step with the clock`, async () => {
    const channel = `watched-by-${element}`;
    const key = await server.key(channel);
    const publisher = server.watch(ffmpeg(`${server.rtmp}/${key}`));
    let player;
    try {
      await server.live(channel);
      await sleep(8_000);
      const begun = Date.now();
      player = server.watch(start('gst-launch-1.0', [
        '-v', element, `uri=${server.http}/${channel}/index.m3u8`,
        'video-sink=fakesink name=picture sync=true silent=false',
        'audio-sink=fakesink name=sound sync=true silent=false',
      ], { env: { ...process.env, GST_DEBUG: '2', GST_DEBUG_NO_COLOR: '1' } }));
      const played = () => Math.min(shown(player, 'picture'), shown(player, 'sound'));
      await until(`${element} has played ten seconds`, async () => played() >= 10, { limit: 25_000 })
        .catch((error) => { throw new Error(`${error.message}\n${player.output.slice(-3_000)}`); });
      const took = Date.now() - begun;
      assert.ok(took > 9_500 && took < 15_000, `${took} ms for ten seconds`);
      const complaints = player.output.split('\n').filter((line) => /\bERROR\b/.test(line));
      assert.deepEqual(complaints, []);
    } finally {
      if (player) await stop(player, { signal: 'SIGINT' });
      await stop(publisher, { signal: 'SIGINT' });
    }
  });
}
