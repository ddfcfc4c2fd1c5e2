// Browsers without a window, and pages whose every complaint is kept.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium as playwright } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { until } from './process.mjs';

const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const firefoxPath = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

/** Chromium with a fresh profile that lets muted video start, as a visitor's does. */
export function chromium() {
  return playwright.launch({
    executablePath: chromiumPath,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--autoplay-policy=no-user-gesture-required', '--mute-audio',
    ],
  });
}

/** Firefox is driven by WebDriver BiDi. */
export function firefox() {
  return puppeteer.launch({
    browser: 'firefox',
    executablePath: firefoxPath,
    headless: true,
    userDataDir: mkdtempSync(join(tmpdir(), 'ghostlight-firefox-')),
    extraPrefsFirefox: { 'media.autoplay.default': 0, 'media.volume_scale': '0.0' },
  });
}

/** Opens an address; `page.complaints` collects console errors and uncaught exceptions. */
export async function open(context, address) {
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') page.complaints.push(message.text());
  });
  await page.goto(address, { waitUntil: 'domcontentloaded' });
  return page;
}

/** What the player says about itself. */
export const stats = (page) => page.evaluate(() => window.__ghostlight.stats());

/** Waits until the player's figures satisfy `wanted`. */
export function statsUntil(page, what, wanted, options) {
  let last;
  return until(what, async () => {
    last = await stats(page);
    return wanted(last) && last;
  }, options).catch((error) => {
    throw new Error(`${error.message}; the player says ${JSON.stringify(last)}`);
  });
}

export const playing = (page, options) => statsUntil(
  page, 'it plays', (s) => s.view === 'playing' && s.startMs !== null, { limit: 15_000, ...options },
);

export const says = (page) => page.evaluate(() => document.getElementById('says').textContent);
