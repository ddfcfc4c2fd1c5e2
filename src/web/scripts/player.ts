// One player on one channel: loads what is live, says in words what is not, and comes back by
// itself from every break.

import { createEngine, type Engine } from "./engine.js";
import { Meter } from "./meter.js";
import { ServerClock, type ChannelState, type ChannelStatus } from "./status.js";
import type { Texts } from "./texts.js";

/** What covers the picture: nothing, a dimmed waiting note, or a note instead of a picture. */
export type View = "playing" | "waiting" | "note";

/** The page around the player. */
export interface Surface {
  show(view: View, note: string): void;
  /** The browser refused to start by itself. */
  askForStart(): void;
  status(status: ChannelStatus): void;
}

const RELOAD_FIRST_MS = 500;
const RELOAD_MAX_MS = 15_000;
/** Playing for so long forgives earlier failures. */
const FORGIVEN_MS = 20_000;
/** Standing still for so long with a picture ahead means a hole to jump over. */
const HOLE_MS = 700;
/** Standing still for so long while the channel is live means loading again. */
const STUCK_MS = 12_000;
/** Who watches live and is so much later than intended, for so long, is brought back to live. */
const LATE_S = 3;
const LATE_MS = 1_500;
/** After the end is known, the rest is played for so long at most. */
const TAIL_MAX_MS = 60_000;
const TICK_MS = 250;

export class Player {
  readonly clock = new ServerClock();
  readonly meter = new Meter();
  readonly engine: Engine | null;
  readonly #video: HTMLVideoElement;
  readonly #texts: Texts;
  readonly #surface: Surface;
  readonly #askStatus: () => void;
  #state: ChannelState = "offline";
  /** The broadcast that is loaded, and where its playlist is. */
  #loaded: { broadcast: string; playlist: string } | null = null;
  /** The broadcast that has been played to its end. */
  #finished: string | null = null;
  #endedAt: number | null = null;
  #failures = 0;
  #reload: ReturnType<typeof setTimeout> | undefined;
  #movedAt = 0;
  #position = 0;
  #playedSince = 0;
  #unreachable = false;
  /** Since when the picture is too late. */
  #lateSince: number | null = null;
  /** The viewer watches live, and has not gone back or paused. */
  #following = true;
  /** The viewer pressed pause: nothing starts by itself until play is pressed. */
  paused = false;

  constructor(video: HTMLVideoElement, texts: Texts, surface: Surface, askStatus: () => void) {
    this.#video = video;
    this.#texts = texts;
    this.#surface = surface;
    this.#askStatus = askStatus;
    const wanted = new URLSearchParams(location.search).get("engine");
    this.engine = createEngine(video, wanted, (reason) => this.#handleBroken(reason));
    video.addEventListener("playing", () => this.#handleMoving());
    video.addEventListener("waiting", () => this.#handleDry());
    video.addEventListener("ended", () => this.#handleEnd());
    video.addEventListener("timeupdate", () => this.#handleTime());
    setInterval(() => this.#tick(), TICK_MS);
  }

  get state(): ChannelState {
    return this.#state;
  }

  get broadcast(): string | null {
    return this.#loaded?.broadcast ?? null;
  }

  /** Seconds between the picture on the screen and what the server took in just now. */
  latency(): number | null {
    const shownAt = this.engine?.shownAt() ?? null;
    if (shownAt === null || this.meter.figures.startMs === null || !this.clock.known) return null;
    return Math.max(0, (this.clock.now() - shownAt) / 1_000);
  }

  /** What the server says; `null` where it did not answer. */
  handleStatus(status: ChannelStatus | null): void {
    this.#unreachable = status === null;
    if (status !== null) {
      const wasAway = this.#state === "away";
      this.#state = status.state;
      if (wasAway && status.state === "live") this.engine?.forgetStalls();
      if (status.state === "away" || status.state === "ended") this.meter.excuse();
      this.#surface.status(status);
      this.#follow(status);
    }
    this.#paint();
  }

  play(): void {
    this.paused = false;
    const start = this.#video.seekable.length > 0 ? this.#video.seekable.start(0) : 0;
    // What was on the screen has left the window.
    if (this.#video.currentTime < start) this.goLive();
    this.#start();
  }

  pause(): void {
    this.paused = true;
    this.#following = false;
    this.#video.pause();
  }

  /** The viewer goes to a place on the element's timeline. */
  seek(position: number): void {
    this.#following = false;
    this.#video.currentTime = position;
  }

  goLive(): void {
    this.#following = true;
    const position = this.engine?.livePosition() ?? null;
    if (position !== null) this.#video.currentTime = position;
    if (this.paused) this.play();
  }

  /** Loads the broadcast that runs, or lets the one that ended come to its end. */
  #follow(status: ChannelStatus): void {
    const { broadcast, playlist } = status;
    const running = ["starting", "live", "away"].includes(status.state);
    if (running && broadcast !== null && playlist !== null) {
      this.#endedAt = null;
      const isNew = this.#loaded?.broadcast !== broadcast && this.#finished !== broadcast;
      if (isNew) this.#load(broadcast, playlist);
    } else if (this.#loaded !== null) {
      this.#endedAt ??= performance.now();
      if (this.meter.figures.startMs === null) this.#handleEnd();
    }
  }

  #load(broadcast: string, playlist: string): void {
    if (this.engine === null) return;
    clearTimeout(this.#reload);
    this.#reload = undefined;
    this.#loaded = { broadcast, playlist };
    this.#video.hidden = false;
    this.#movedAt = performance.now();
    this.meter.loading();
    this.engine.load(playlist);
    if (!this.paused) this.#start();
  }

  /** Starts with sound where the viewer chose it, else muted: browsers allow that much. */
  #start(): void {
    this.#video.play().catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      if (this.#video.muted) {
        this.paused = true;
        this.#surface.askForStart();
      } else {
        this.#video.muted = true;
        this.#start();
      }
    });
  }

  #handleMoving(): void {
    this.#movedAt = performance.now();
    this.#playedSince = this.#movedAt;
    if ("requestVideoFrameCallback" in this.#video) {
      this.#video.requestVideoFrameCallback(() => this.#handleShown());
      // Sound alone shows no frame.
      if (this.#video.videoWidth === 0) this.#handleShown();
    } else {
      this.#handleShown();
    }
  }

  #handleShown(): void {
    this.meter.shown();
    this.#paint();
  }

  #handleTime(): void {
    if (this.#video.currentTime === this.#position) return;
    this.#position = this.#video.currentTime;
    const now = performance.now();
    if (this.meter.dryFor > 0) this.#handleShown();
    this.#movedAt = now;
    if (now - this.#playedSince > FORGIVEN_MS) this.#failures = 0;
  }

  #handleDry(): void {
    if (this.#video.paused || this.#video.seeking || this.#loaded === null) return;
    this.#playedSince = Infinity;
    // The end of a broadcast, or the broadcaster's own break, is no stall of ours.
    if (this.#endedAt === null && this.#state !== "away") this.meter.dry();
    this.#askStatus();
  }

  #handleEnd(): void {
    if (this.#loaded === null) return;
    this.#finished = this.#loaded.broadcast;
    this.#loaded = null;
    this.#endedAt = null;
    clearTimeout(this.#reload);
    this.engine?.stop();
    this.#video.hidden = true;
    this.#askStatus();
    this.#paint();
  }

  #handleBroken(reason: string): void {
    this.meter.failed(reason);
    this.#askStatus();
    if (this.#loaded === null || this.#reload !== undefined) return;
    const wait = Math.min(RELOAD_FIRST_MS * 2 ** this.#failures, RELOAD_MAX_MS);
    this.#failures += 1;
    this.#reload = setTimeout(
      () => {
        this.#reload = undefined;
        if (this.#loaded === null) return;
        if (this.#endedAt !== null) return this.#handleEnd();
        this.meter.figures.reloads += 1;
        this.#load(this.#loaded.broadcast, this.#loaded.playlist);
      },
      wait * (0.8 + 0.4 * Math.random()),
    );
    this.#paint();
  }

  #tick(): void {
    if (this.#loaded === null) return;
    const now = performance.now();
    if (this.#endedAt !== null && now - this.#endedAt > TAIL_MAX_MS) return this.#handleEnd();
    if (this.paused || this.#video.paused) return;
    const still = now - this.#movedAt;
    if (still > HOLE_MS) this.#jumpHole();
    if (still > STUCK_MS) {
      this.#movedAt = now;
      if (this.#endedAt !== null) this.#handleEnd();
      else if (this.#state === "live") this.#handleBroken("stuck");
    }
    this.#keepUp(now);
    this.#paint();
  }

  /** A break or a slow network may leave the picture later than catching up can mend. */
  #keepUp(now: number): void {
    const latency = this.latency();
    const target = this.engine?.targetLatency() ?? null;
    const watching = this.#following && this.#state === "live" && this.#endedAt === null;
    const late = latency !== null && target !== null && latency > target + LATE_S;
    if (!watching || !late) {
      this.#lateSince = null;
    } else if (this.#lateSince === null) {
      this.#lateSince = now;
    } else if (now - this.#lateSince > LATE_MS) {
      // Gives the jump time to show before it is judged.
      this.#lateSince = now + LATE_MS;
      this.meter.figures.jumps += 1;
      this.goLive();
    }
  }

  /** The broadcaster's break leaves a hole; what came after it lies ahead in the buffer. */
  #jumpHole(): void {
    const { buffered, currentTime } = this.#video;
    for (let i = 0; i < buffered.length; i += 1) {
      const start = buffered.start(i);
      if (start > currentTime + 0.02) {
        this.meter.figures.jumps += 1;
        this.#video.currentTime = start + 0.02;
        return;
      }
    }
  }

  #paint(): void {
    const surface = this.#surface;
    const texts = this.#texts;
    if (this.engine === null) return surface.show("note", texts.unsupported);
    if (this.#loaded === null) {
      return surface.show("note", this.#unreachable ? texts.unreachable : this.#noteOfState());
    }
    if (this.meter.figures.startMs === null) {
      return surface.show("note", this.#failures > 0 ? texts.reconnecting : texts.says.starting);
    }
    const still = !this.#video.paused && performance.now() - this.#movedAt > HOLE_MS;
    if (!still) return surface.show("playing", texts.says.live);
    surface.show("waiting", this.#state === "away" ? texts.says.away : texts.reconnecting);
  }

  #noteOfState(): string {
    // Something is there and has not been loaded yet.
    if (this.#state === "live") return this.#texts.says.starting;
    // It has been watched to its end, and then forgotten by the server.
    if (this.#state === "offline" && this.#finished !== null) return this.#texts.says.ended;
    return this.#texts.says[this.#state];
  }
}
