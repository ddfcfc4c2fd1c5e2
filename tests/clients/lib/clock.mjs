// A publisher whose picture carries the time at which it was made, and the reader of that time.
//
// The time in ms, modulo 2^20 (about 17 minutes), stands as a Gray code in a row of black and
// white cells: neighbouring times differ in one cell, so a half-drawn frame is off by 1 ms only.
import { start } from './process.mjs';

export const BITS = 20;
export const WIDTH = 640;
export const HEIGHT = 360;
const CELL = WIDTH / BITS;
const ROW = { top: 160, height: 48 };

/** One gray frame: a slowly moving slope, and the clock across its middle. */
function draw(frame, now) {
  const shift = Math.floor(now / 40);
  for (let y = 0; y < HEIGHT; y += 1) {
    frame.fill(64 + ((y + shift) % 128), y * WIDTH, (y + 1) * WIDTH);
  }
  const time = now % 2 ** BITS;
  const gray = time ^ (time >>> 1);
  for (let bit = 0; bit < BITS; bit += 1) {
    const shade = (gray >>> (BITS - 1 - bit)) & 1 ? 235 : 16;
    for (let y = ROW.top; y < ROW.top + ROW.height; y += 1) {
      const from = y * WIDTH + bit * CELL;
      frame.fill(shade, from, from + CELL);
    }
  }
}

/** FFmpeg sending the clock and a tone to `address`; stop it like any other process. */
export function publishClock(address, { rate = 30, keyframes = 60 } = {}) {
  const process = start('ffmpeg', [
    '-hide_banner', '-loglevel', 'warning',
    '-probesize', '32', '-analyzeduration', '0',
    '-f', 'rawvideo', '-pixel_format', 'gray', '-video_size', `${WIDTH}x${HEIGHT}`,
    '-framerate', `${rate}`, '-i', 'pipe:0',
    '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p',
    '-g', `${keyframes}`, '-keyint_min', `${keyframes}`, '-sc_threshold', '0', '-b:v', '1200k',
    '-c:a', 'aac', '-b:a', '96k', '-f', 'flv', '-flvflags', 'no_duration_filesize', address,
  ]);
  const input = process.child.stdin;
  const begun = Date.now();
  let written = 0;
  const timer = setInterval(() => {
    if (process.code !== null || process.signal !== null) return clearInterval(timer);
    // As many frames as the clock has made; a full pipe means that the encoder is late.
    while (written < ((Date.now() - begun) * rate) / 1_000 && !input.writableNeedDrain) {
      const frame = Buffer.alloc(WIDTH * HEIGHT);
      draw(frame, Date.now());
      input.write(frame);
      written += 1;
    }
  }, 5);
  process.exited.finally(() => clearInterval(timer)).catch(() => {});
  return process;
}

/**
 * Runs inside the page: reads the clock off every frame shown for `ms`, and answers the delays
 * from glass to glass in ms. It must name nothing from outside itself.
 */
export function readDelays({ ms, bits, top, height }) {
  const video = document.querySelector('video:not([hidden])');
  const canvas = document.createElement('canvas');
  canvas.width = 640;
  canvas.height = height;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const delays = [];
  return new Promise((resolve) => {
    const end = performance.now() + ms;
    const take = () => {
      const now = Date.now();
      pen.drawImage(video, 0, top, 640, height, 0, 0, 640, height);
      const row = pen.getImageData(0, height / 2, 640, 1).data;
      let gray = 0;
      for (let bit = 0; bit < bits; bit += 1) {
        const shade = row[Math.floor((bit + 0.5) * (640 / bits)) * 4];
        gray = (gray << 1) | (shade > 125 ? 1 : 0);
      }
      let time = gray;
      for (let mask = time >>> 1; mask !== 0; mask >>>= 1) time ^= mask;
      delays.push((((now % 2 ** bits) - time) + 2 ** bits) % 2 ** bits);
      if (performance.now() < end) video.requestVideoFrameCallback(take);
      else resolve(delays);
    };
    video.requestVideoFrameCallback(take);
    // Nothing is shown at all: answer what there is.
    setTimeout(() => resolve(delays), ms + 2_000);
  });
}

export const clockPlace = { bits: BITS, top: ROW.top, height: ROW.height };

/** The value below which `share` of the numbers lie. */
export function percentile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
