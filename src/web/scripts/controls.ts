// Buttons, sliders and keys. They know the video element and the player, nothing of playlists.

import { element, recall, remember } from "./dom.js";
import type { Player } from "./player.js";
import type { Texts } from "./texts.js";

const SEEK_STEP_S = 5;
const VOLUME_STEP = 0.05;
const IDLE_MS = 3_000;
const TICK_MS = 500;
/** Being so much later than intended counts as behind. */
const BEHIND_S = 2.5;
/** A window shorter than this is not worth a slider. */
const SEEK_WINDOW_MIN_S = 20;

interface FullscreenVideo extends HTMLVideoElement {
  /** iPhones show only the video element full screen. */
  webkitEnterFullscreen?(): void;
}

export class Controls {
  readonly #stage = element("stage", HTMLElement);
  readonly #video: FullscreenVideo = element("video", HTMLVideoElement);
  readonly #bar = element("bar", HTMLElement);
  readonly #play = element("play", HTMLButtonElement);
  readonly #mute = element("mute", HTMLButtonElement);
  readonly #sound = element("sound", HTMLButtonElement);
  readonly #start = element("start", HTMLButtonElement);
  readonly #volume = element("volume", HTMLInputElement);
  readonly #seek = element("seek", HTMLInputElement);
  readonly #live = element("live", HTMLButtonElement);
  readonly #latency = element("latency", HTMLOutputElement);
  readonly #full = element("full", HTMLButtonElement);
  readonly #pip = element("pip", HTMLButtonElement);
  readonly #help = element("help", HTMLButtonElement);
  readonly #keys = element("keys", HTMLElement);
  readonly #player: Player;
  readonly #texts: Texts;
  /** The viewer turned the sound off, so nothing asks to turn it on. */
  #wantsSilence = recall("muted") === "yes";
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(player: Player, texts: Texts) {
    this.#player = player;
    this.#texts = texts;
    this.#restoreSound();
    this.#listen();
    setInterval(() => this.#paint(), TICK_MS);
  }

  askForStart(): void {
    this.#start.hidden = false;
    this.#start.focus();
  }

  #restoreSound(): void {
    const volume = Number(recall("volume") ?? "1");
    if (volume >= 0 && volume <= 1) this.#video.volume = volume;
    this.#video.muted = recall("muted") !== "no";
  }

  #listen(): void {
    const video = this.#video;
    this.#play.addEventListener("click", () => this.#togglePlay());
    this.#start.addEventListener("click", () => this.#player.play());
    this.#mute.addEventListener("click", () => this.#toggleMute());
    this.#sound.addEventListener("click", () => this.#toggleMute());
    this.#volume.addEventListener("input", () => this.#setVolume(this.#volume.valueAsNumber / 100));
    this.#seek.addEventListener("input", () => this.#seekTo(this.#seek.valueAsNumber / 1_000));
    this.#live.addEventListener("click", () => this.#player.goLive());
    this.#full.addEventListener("click", () => this.#toggleFullscreen());
    this.#pip.addEventListener("click", () => this.#togglePip());
    this.#help.addEventListener("click", () => this.#toggleHelp());
    element("keys-close", HTMLButtonElement).addEventListener("click", () => this.#toggleHelp());
    for (const event of ["play", "pause", "volumechange", "playing", "emptied"]) {
      video.addEventListener(event, () => this.#paint());
    }
    video.addEventListener("dblclick", () => this.#toggleFullscreen());
    video.addEventListener("click", (event) => {
      // A finger asks for the controls, a mouse already shows them.
      if ((event as PointerEvent).pointerType === "mouse") this.#togglePlay();
    });
    document.addEventListener("fullscreenchange", () => this.#paint());
    document.addEventListener("keydown", (event) => this.#handleKey(event));
    for (const event of ["pointermove", "pointerdown", "focusin"]) {
      this.#stage.addEventListener(event, () => this.#wake());
    }
    this.#wake();
  }

  #togglePlay(): void {
    if (this.#video.paused) this.#player.play();
    else this.#player.pause();
  }

  #toggleMute(): void {
    this.#video.muted = !this.#video.muted;
    if (!this.#video.muted && this.#video.volume === 0) this.#video.volume = 0.5;
    this.#rememberSound();
  }

  #setVolume(volume: number): void {
    this.#video.volume = Math.min(1, Math.max(0, volume));
    this.#video.muted = this.#video.volume === 0;
    this.#rememberSound();
  }

  #rememberSound(): void {
    this.#wantsSilence = this.#video.muted;
    remember("volume", String(this.#video.volume));
    remember("muted", this.#video.muted ? "yes" : "no");
  }

  /** The part of the timeline that can be watched, with live at its end. */
  #window(): { start: number; end: number } | null {
    const { seekable } = this.#video;
    const end = this.#player.engine?.livePosition() ?? null;
    if (end === null || seekable.length === 0) return null;
    return { start: seekable.start(0), end };
  }

  #seekTo(share: number): void {
    const window = this.#window();
    if (window === null) return;
    if (share > 0.995) this.#player.goLive();
    else this.#player.seek(window.start + share * (window.end - window.start));
  }

  #step(seconds: number): void {
    const window = this.#window();
    if (window === null) return;
    const wanted = this.#video.currentTime + seconds;
    if (wanted >= window.end) this.#player.goLive();
    else this.#player.seek(Math.max(window.start, wanted));
  }

  #toggleFullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (this.#stage.requestFullscreen) void this.#stage.requestFullscreen();
    else this.#video.webkitEnterFullscreen?.();
  }

  #togglePip(): void {
    const change = document.pictureInPictureElement
      ? document.exitPictureInPicture()
      : this.#video.requestPictureInPicture();
    change.catch(() => undefined);
  }

  #toggleHelp(): void {
    this.#keys.hidden = !this.#keys.hidden;
    this.#help.setAttribute("aria-expanded", String(!this.#keys.hidden));
    if (this.#keys.hidden) this.#help.focus();
    else element("keys-close", HTMLButtonElement).focus();
  }

  #handleKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const onSlider = target instanceof HTMLInputElement;
    const onButton = target instanceof HTMLElement && target.closest("button, a, summary") !== null;
    if (this.#act(event.key, onSlider, onButton)) {
      event.preventDefault();
      this.#wake();
    }
  }

  /** Answers whether the key meant something. Focused elements keep their own keys. */
  #act(key: string, onSlider: boolean, onButton: boolean): boolean {
    switch (key) {
      case " ":
        if (onButton) return false;
        this.#togglePlay();
        return true;
      case "k":
        this.#togglePlay();
        return true;
      case "m":
        this.#toggleMute();
        return true;
      case "f":
        this.#toggleFullscreen();
        return true;
      case "l":
        this.#player.goLive();
        return true;
      case "?":
        this.#toggleHelp();
        return true;
      case "Escape":
        if (this.#keys.hidden) return false;
        this.#toggleHelp();
        return true;
      case "ArrowLeft":
      case "ArrowRight":
        if (onSlider) return false;
        this.#step(key === "ArrowLeft" ? -SEEK_STEP_S : SEEK_STEP_S);
        return true;
      case "ArrowUp":
      case "ArrowDown":
        if (onSlider) return false;
        this.#setVolume(this.#video.volume + (key === "ArrowUp" ? VOLUME_STEP : -VOLUME_STEP));
        return true;
      default:
        return false;
    }
  }

  /** Shows the controls, for as long as something moves. */
  #wake(): void {
    this.#stage.classList.remove("idle");
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const busy = this.#video.paused || !this.#keys.hidden || this.#bar.matches(":focus-within");
      if (!busy) this.#stage.classList.add("idle");
    }, IDLE_MS);
  }

  #paint(): void {
    const { paused, muted, hidden } = this.#video;
    this.#bar.hidden = hidden;
    const silent = muted && !this.#wantsSilence && this.#player.meter.figures.startMs !== null;
    this.#sound.hidden = hidden || !silent;
    if (!paused) this.#start.hidden = true;
    label(this.#play, !paused, paused ? this.#texts.play : this.#texts.pause, "k");
    label(this.#mute, !muted, muted ? this.#texts.unmute : this.#texts.mute, "m");
    if (document.activeElement !== this.#volume) {
      this.#volume.valueAsNumber = muted ? 0 : this.#video.volume * 100;
    }
    const full = document.fullscreenElement !== null;
    const { fullscreen, exit_fullscreen } = this.#texts;
    label(this.#full, full, full ? exit_fullscreen : fullscreen, "f");
    this.#full.hidden = !document.fullscreenEnabled && !this.#video.webkitEnterFullscreen;
    this.#pip.hidden = !document.pictureInPictureEnabled;
    this.#paintTime();
  }

  #paintTime(): void {
    const latency = this.#player.latency();
    const target = this.#player.engine?.targetLatency() ?? 0;
    const behind = latency !== null && latency > target + BEHIND_S;
    this.#live.classList.toggle("at-edge", !behind && !this.#video.paused);
    const seconds = latency?.toLocaleString(document.documentElement.lang, {
      minimumFractionDigits: 1,
      maximumFractionDigits: 1,
    });
    this.#latency.textContent = seconds === undefined ? "" : `${seconds} s`;
    this.#latency.title = seconds === undefined ? "" : `${seconds} s ${this.#texts.behind}`;
    const window = this.#window();
    const length = window === null ? 0 : window.end - window.start;
    this.#seek.hidden = length < SEEK_WINDOW_MIN_S;
    if (window !== null && length > 0 && document.activeElement !== this.#seek) {
      const share = (this.#video.currentTime - window.start) / length;
      this.#seek.valueAsNumber = Math.min(1, share) * 1_000;
    }
    const ago = window === null ? 0 : Math.max(0, window.end - this.#video.currentTime);
    this.#seek.setAttribute("aria-valuetext", `-${Math.round(ago)} s`);
  }
}

function label(button: HTMLButtonElement, active: boolean, text: string, key: string): void {
  button.classList.toggle("active", active);
  if (button.getAttribute("aria-label") === text) return;
  button.setAttribute("aria-label", text);
  button.title = `${text} (${key})`;
}
