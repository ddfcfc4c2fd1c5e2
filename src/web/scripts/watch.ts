// The page of one channel, and its player alone for frames on other sites.

import { Controls } from "./controls.js";
import { element } from "./dom.js";
import { Player, type View } from "./player.js";
import { StatusFeed, type Advice, type ChannelStatus } from "./status.js";
import type { Texts } from "./texts.js";

const stage = element("stage", HTMLElement);
const video = element("video", HTMLVideoElement);
const texts = JSON.parse(stage.dataset["texts"] ?? "{}") as Texts;

let controls: Controls | undefined;
let view: View | undefined;
const player = new Player(
  video,
  texts,
  { show, status, askForStart: () => controls?.askForStart() },
  () => feed.askSoon(),
);
const feed = new StatusFeed(stage.dataset["channel"] ?? "", player.clock, (answer) => {
  player.handleStatus(answer);
});
controls = new Controls(player, texts);

// The page itself brought the first answer. It may come from a cache, so its time tells nothing.
player.handleStatus(JSON.parse(stage.dataset["status"] ?? "null") as ChannelStatus | null);
feed.askSoon();

function show(next: View, note: string): void {
  const says = element("says", HTMLElement);
  if (says.textContent !== note) says.textContent = note;
  if (view === next) return;
  view = next;
  stage.dataset["view"] = next;
  feed.well = next === "playing";
}

function status(status: ChannelStatus): void {
  stage.dataset["state"] = status.state;
  showChip(status);
  showSince(status);
  showAdvice(status.advice ?? []);
}

/** The embedded player has no text around it. */
function showChip(status: ChannelStatus): void {
  const chip = document.getElementById("chip");
  const text = document.getElementById("chip-text");
  if (!chip || !text) return;
  chip.dataset["state"] = status.state;
  text.textContent = texts.badges[status.state];
}

function showSince(status: ChannelStatus): void {
  const since = document.getElementById("since");
  const time = since?.querySelector("time");
  if (!since || !time) return;
  const at = Date.parse(status.started_at ?? "");
  since.hidden = Number.isNaN(at) || !["live", "away"].includes(status.state);
  if (since.hidden) return;
  time.dateTime = status.started_at ?? "";
  const { lang } = document.documentElement;
  time.textContent = new Intl.DateTimeFormat(lang, { timeStyle: "short" }).format(at);
}

function showAdvice(advice: Advice[]): void {
  const box = document.getElementById("advice");
  const list = box?.querySelector("ul");
  if (!box || !list) return;
  const lines = advice.map(sentence).filter((line) => line !== "");
  box.hidden = lines.length === 0;
  const shown = [...list.children].map((item) => item.textContent);
  if (shown.join("\n") === lines.join("\n")) return;
  list.replaceChildren(
    ...lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }),
  );
}

function sentence(advice: Advice): string {
  if (advice.kind !== "keyframe_interval") return advice.text ?? "";
  const number = (value: number | undefined): string =>
    value?.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 }) ?? "?";
  return texts.advice_keyframes
    .replace("{seconds}", number(advice.seconds))
    .replace("{wanted}", number(advice.wanted_seconds ?? 2));
}

/** For tests and for curious people: how it plays, in figures. */
function stats(): Record<string, unknown> {
  const quality = video.getVideoPlaybackQuality?.();
  return {
    state: player.state,
    view,
    engine: player.engine?.name ?? null,
    broadcast: player.broadcast,
    latency: player.latency(),
    targetLatency: player.engine?.targetLatency() ?? null,
    position: video.currentTime,
    rate: video.playbackRate,
    width: video.videoWidth,
    height: video.videoHeight,
    decodedFrames: quality?.totalVideoFrames ?? null,
    droppedFrames: quality?.droppedVideoFrames ?? null,
    serverNow: player.clock.known ? player.clock.now() : null,
    ...player.meter.figures,
  };
}

Object.assign(window, { __ghostlight: { stats } });
