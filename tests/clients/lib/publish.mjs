// Publishers and their pictures.
import { start } from './process.mjs';

const video = (size, rate) => ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}`];
const audio = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'];

export const x264 = (keyframes = 60) => [
  '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p',
  '-b:v', '800k', '-g', `${keyframes}`, '-keyint_min', `${keyframes}`, '-sc_threshold', '0',
];
export const aac = ['-c:a', 'aac', '-b:a', '96k'];

/** FFmpeg publishing a moving test picture and a tone, paced like a live encoder. */
export function ffmpeg(address, {
  program = 'ffmpeg', size = '320x180', rate = 30, seconds = 120,
  codecs = [...x264(), ...aac], inputs = [...video(size, rate), ...audio], extra = [],
} = {}) {
  const paced = inputs.flatMap((word) => (word === '-f' ? ['-re', word] : [word]));
  return start(program, [
    '-hide_banner', '-nostdin', '-loglevel', 'warning', ...paced, '-t', `${seconds}`,
    ...codecs, ...extra, '-f', 'flv', address,
  ]);
}

export const videoOnly = video;
export const audioOnly = audio;
