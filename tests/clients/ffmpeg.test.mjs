// FFmpeg publishes; ffprobe reads what comes out; refusals are said in words.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { mediaPlaylist, probe } from './lib/hls.mjs';
import { run, sleep, stop, until } from './lib/process.mjs';
import { aac, audioOnly, ffmpeg, videoOnly, x264 } from './lib/publish.mjs';
import { freePort, Server } from './lib/server.mjs';

const newer = process.env.FFMPEG_NEW;
let server;
before(async () => { server = await Server.start(); });
after(async () => { await server.stop(); });

/** Publishes, probes the playlist, stops; answers the streams by type. */
async function roundTrip(channel, address, options) {
  const publisher = server.watch(ffmpeg(address, options));
  try {
    await server.live(channel).catch((error) => {
      throw new Error(`${error.message}\n${publisher.output}\n${server.process.output.slice(-2_000)}`);
    });
    const { address: playlist, multivariant } = await mediaPlaylist(server, channel);
    await sleep(2_500);
    const { streams, complaints } = await probe(playlist);
    assert.deepEqual(complaints, [], 'ffprobe has nothing to complain about');
    const of = (type) => streams.find((s) => s.codec_type === type);
    return { video: of('video'), audio: of('audio'), multivariant, playlist };
  } finally {
    await stop(publisher, { signal: 'SIGINT' });
  }
}

test('H.264 and AAC: server and key', async () => {
  const key = await server.key('plain');
  const { video, audio, multivariant } = await roundTrip('plain', `${server.rtmp}/${key}`);
  assert.deepEqual([video.codec_name, video.width, video.height], ['h264', 320, 180]);
  assert.deepEqual([audio.codec_name, audio.sample_rate], ['aac', '48000']);
  assert.match(multivariant, /CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/);
  assert.match(multivariant, /RESOLUTION=320x180/);
  assert.match(multivariant, /FRAME-RATE=30\.000/);
  assert.match(multivariant, /BANDWIDTH=\d+/);
});

for (const app of ['app', 'stream']) {
  test(`the application name ${app} is accepted as well`, async () => {
    const key = await server.key(`as-${app}`);
    const address = server.rtmp.replace(/live$/, app);
    await roundTrip(`as-${app}`, `${address}/${key}`);
  });
}

test('the key in a query', async () => {
  const key = await server.key('query');
  await roundTrip('query', `${server.rtmp}/stream?key=${key}`);
});

test('video only', async () => {
  const key = await server.key('mute');
  const { video, audio, multivariant } = await roundTrip('mute', `${server.rtmp}/${key}`, {
    inputs: videoOnly('320x180', 25), codecs: x264(50),
  });
  assert.equal(video.codec_name, 'h264');
  assert.equal(audio, undefined);
  assert.match(multivariant, /CODECS="avc1\.[0-9a-f]{6}"/);
});

test('audio only', async () => {
  const key = await server.key('radio');
  const { video, audio, multivariant } = await roundTrip('radio', `${server.rtmp}/${key}`, {
    inputs: audioOnly, codecs: aac,
  });
  assert.equal(video, undefined);
  assert.equal(audio.codec_name, 'aac');
  assert.doesNotMatch(multivariant, /RESOLUTION|FRAME-RATE/);
});

test('MP3 sound', async () => {
  const key = await server.key('mp3s');
  const { audio } = await roundTrip('mp3s', `${server.rtmp}/${key}`, {
    codecs: [...x264(), '-c:a', 'libmp3lame', '-ar', '44100'],
  });
  assert.equal(audio.codec_name, 'mp3');
});

test('keyframes every 8.3 s: on air within 10 s, with advice', async () => {
  const key = await server.key('rare');
  const started = Date.now();
  const publisher = server.watch(ffmpeg(`${server.rtmp}/${key}`, { codecs: [...x264(250), ...aac] }));
  try {
    await server.live('rare');
    const { address } = await mediaPlaylist(server, 'rare');
    assert.ok((await fetch(address)).ok);
    assert.ok(Date.now() - started < 10_000, `${Date.now() - started} ms`);
    await until('the advice shows', async () => (await server.status('rare')).advice.length > 0);
  } finally {
    await stop(publisher, { signal: 'SIGINT' });
  }
});

for (const [name, codecs, expected] of [
  ['HEVC', ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=none:keyint=60', '-b:v', '500k', ...aac], ['hevc', 'aac', /hvc1\./]],
  ['AV1 and Opus', ['-c:v', 'libaom-av1', '-usage', 'realtime', '-cpu-used', '8', '-g', '60', '-b:v', '500k', '-c:a', 'libopus'], ['av1', 'opus', /av01\..*[oO]pus/]],
  ['VP9', ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '60', '-b:v', '500k', ...aac], ['vp9', 'aac', /vp09\./]],
]) {
  test(`Enhanced RTMP: ${name}`, { skip: !newer && 'FFMPEG_NEW is not set' }, async () => {
    const channel = `er-${expected[0]}`;
    const key = await server.key(channel);
    const options = { program: newer, codecs, rate: 30 };
    const address = `${server.rtmp}/${key}`;
    const { video, audio, multivariant } = await roundTrip(channel, address, options);
    assert.deepEqual([video.codec_name, audio.codec_name], expected.slice(0, 2));
    assert.match(multivariant, expected[2]);
  });
}

test('an unknown key is refused in words', async () => {
  const refused = await run('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'error', '-re',
    ...videoOnly('160x90', 15), '-t', '5', ...x264(30), '-f', 'flv', `${server.rtmp}/not-a-key`]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.output, /Server error: .*key/i);
});

test('a revoked key ends its broadcast within 2 s', async () => {
  const key = await server.key('revoked');
  const publisher = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  await server.live('revoked');
  const listed = await server.command('key', 'list', 'revoked');
  assert.equal(listed.code, 0, listed.output);
  const revoked = await server.command('key', 'revoke', key.split('_')[0]);
  assert.equal(revoked.code, 0, revoked.output);
  const since = Date.now();
  await until('the broadcast ended', async () => (await server.status('revoked')).state !== 'live', { limit: 3_000 });
  assert.ok(Date.now() - since < 2_500, `${Date.now() - since} ms`);
  await stop(publisher);
});

test('a second publisher with the same key takes over at once; viewers keep their playlist', async () => {
  const key = await server.key('taken');
  const first = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  await server.live('taken');
  const { address } = await mediaPlaylist(server, 'taken');
  const second = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  try {
    await until('the first was let go', async () => first.code !== null, { limit: 8_000 });
    const text = await until('the break is listed', async () => {
      const body = await (await fetch(address)).text();
      return body.includes('#EXT-X-DISCONTINUITY\n') && body;
    });
    assert.doesNotMatch(text, /ENDLIST/);
    assert.equal((await mediaPlaylist(server, 'taken')).address, address);
    await sleep(3_000);
    const later = await (await fetch(address)).text();
    assert.equal(later.match(/#EXT-X-DISCONTINUITY\n/g).length, 1, later);
  } finally {
    await stop(first);
    await stop(second, { signal: 'SIGINT' });
  }
});

test('an encoder that comes back within the window continues the same playlist', async () => {
  const key = await server.key('back');
  const first = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  await server.live('back');
  const { address } = await mediaPlaylist(server, 'back');
  await stop(first, { signal: 'SIGKILL' });
  await until('the gap is listed', async () => (await (await fetch(address)).text()).includes('#EXT-X-GAP'));
  const second = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  try {
    await server.live('back');
    const text = await until('it goes on after a break', async () => {
      const body = await (await fetch(address)).text();
      return /#EXT-X-GAP[\s\S]*#EXT-X-DISCONTINUITY\n/.test(body) && body;
    });
    assert.doesNotMatch(text, /ENDLIST/);
  } finally {
    await stop(second, { signal: 'SIGINT' });
  }
  await until('a clean end is the end', async () => (await (await fetch(address)).text()).includes('#EXT-X-ENDLIST'));
});

/** Writes a certificate of its own into a folder, and answers its fingerprint as peers see it. */
async function certificate(folder) {
  const files = ['key.pem', 'chain.pem'].map((name) => join(folder, name));
  const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
    '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
    '-keyout', files[0], '-out', files[1]]);
  assert.equal(made.code, 0, made.output);
  return new X509Certificate(readFileSync(files[1])).fingerprint256;
}

/** The certificate a new connection is shown. */
function shown(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

test('RTMPS, and a certificate replaced while a broadcast runs', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ghostlight-tls-'));
  const first = await certificate(folder);
  const [rtmps, https] = [await freePort(), await freePort()];
  const encrypted = await Server.start({ env: {
    GHOSTLIGHT_TLS_CERTIFICATE: join(folder, 'chain.pem'),
    GHOSTLIGHT_TLS_KEY: join(folder, 'key.pem'),
    GHOSTLIGHT_RTMP_TLS_LISTEN: `127.0.0.1:${rtmps}`,
    GHOSTLIGHT_HTTP_TLS_LISTEN: `127.0.0.1:${https}`,
  } });
  const key = await encrypted.key('sealed');
  const publisher = encrypted.watch(ffmpeg(`rtmps://127.0.0.1:${rtmps}/live/${key}`));
  try {
    await encrypted.live('sealed');
    const { streams, complaints } = await probe((await mediaPlaylist(encrypted, 'sealed')).address);
    assert.deepEqual([complaints, streams.map((s) => s.codec_name).sort()], [[], ['aac', 'h264']]);
    assert.equal(await shown(rtmps), first);

    const second = await certificate(folder);
    assert.notEqual(second, first);
    encrypted.process.child.kill('SIGHUP');
    await until('new connections see the new one', async () => (await shown(rtmps)) === second);
    assert.equal((await encrypted.status('sealed')).state, 'live', 'and nobody was dropped for it');

    // RTMP without TLS on that port is closed at once.
    const plain = await run('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'error', '-re',
      ...videoOnly('160x90', 15), '-t', '5', ...x264(30), '-f', 'flv', `rtmp://127.0.0.1:${rtmps}/live/${key}`],
    { limit: 5_000 });
    assert.notEqual(plain.code, 0);
    assert.equal(plain.signal, null, 'it did not hang');
    assert.equal((await encrypted.status('sealed')).state, 'live');
  } finally {
    await stop(publisher, { signal: 'SIGINT' });
    await encrypted.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('an encoder that stands still is away within 11 s', async () => {
  const key = await server.key('frozen');
  const publisher = server.watch(ffmpeg(`${server.rtmp}/${key}`));
  try {
    await server.live('frozen', { judged: false });
    publisher.child.kill('SIGSTOP');
    const since = Date.now();
    const isAway = async () => (await server.status('frozen')).state !== 'live';
    await until('it is away', isAway, { limit: 13_000 });
    const took = Date.now() - since;
    assert.ok(took > 9_000 && took < 11_500, `${took} ms`);
    const counted = /rtmp_connections_ended_total\{[^}]*reason="silent"/;
    await until('it is counted', async () => counted.test(await server.metrics()));
  } finally {
    publisher.child.kill('SIGCONT');
    await stop(publisher, { signal: 'SIGINT' });
  }
});
