// What turns a playlist into pictures: hls.js where media source extensions are, the browser
// itself where it does better.

import Hls, { ErrorTypes, Events, type HlsConfig, type LevelDetails } from "hls.js/light";

export interface Engine {
  readonly name: "hls.js" | "native";
  load(playlist: string): void;
  /** Lets go of the playlist; the element keeps its last picture no longer. */
  stop(): void;
  /** The server's time at which the shown picture came in, in ms since 1970. */
  shownAt(): number | null;
  /** Where playing is as close to live as is safe, on the element's timeline. */
  livePosition(): number | null;
  /** The delay that playing aims at, in seconds. */
  targetLatency(): number | null;
  /** After a break of the broadcaster's, stalls before it say nothing about the network. */
  forgetStalls(): void;
}

/** Tells why playing cannot go on without loading again. */
export type Broken = (reason: string) => void;

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // The server sends fragmented MP4, which needs no transmuxing: a worker would only add its own
  // start to that of the picture.
  enableWorker: false,
  // The first picture needs one part, not a guess at the bandwidth.
  startFragPrefetch: true,
  testBandwidth: false,
  // The delay is the playlist's PART-HOLD-BACK; a viewer who fell behind catches up unnoticed.
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.5,
  maxBufferLength: 20,
  backBufferLength: 60,
  liveDurationInfinity: true,
  // The closing date is told by the status, not by cues on a text track.
  enableDateRangeMetadataCues: false,
  enableEmsgMetadataCues: false,
  enableID3MetadataCues: false,
  // Playlist questions are held by the server for up to three target durations.
  playlistLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 20_000,
      maxLoadTimeMs: 30_000,
      timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 4, retryDelayMs: 500, maxRetryDelayMs: 4_000 },
    },
  },
  fragLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 10_000,
      maxLoadTimeMs: 60_000,
      timeoutRetry: { maxNumRetry: 3, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 4, retryDelayMs: 300, maxRetryDelayMs: 4_000 },
    },
  },
};

/** One media error in this time is repaired in place, a second one loads anew. */
const MEDIA_REPAIR_MS = 5_000;

class HlsEngine implements Engine {
  readonly name = "hls.js";
  readonly #video: HTMLVideoElement;
  readonly #broken: Broken;
  #hls: Hls | null = null;
  #repairedAt = -Infinity;
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(video: HTMLVideoElement, broken: Broken) {
    this.#video = video;
    this.#broken = broken;
  }

  load(playlist: string): void {
    this.stop();
    const hls = new Hls(CONFIG);
    this.#hls = hls;
    hls.on(Events.ERROR, (_event, data) => {
      if (!data.fatal) return;
      const now = performance.now();
      if (data.type === ErrorTypes.MEDIA_ERROR && now - this.#repairedAt > MEDIA_REPAIR_MS) {
        this.#repairedAt = now;
        hls.recoverMediaError();
      } else {
        this.#broken(data.details);
      }
    });
    hls.once(Events.LEVEL_UPDATED, (_event, { details }) => this.#startBehindGap(hls, details));
    hls.once(Events.FRAG_BUFFERED, () => this.#settle(hls));
    hls.loadSource(playlist);
    hls.attachMedia(this.#video);
  }

  stop(): void {
    clearTimeout(this.#settling);
    this.#video.playbackRate = 1;
    this.#hls?.destroy();
    this.#hls = null;
  }

  /**
   * A broadcast begins with a segment of missing media. In its first moments the place to start at
   * lies in there, where nothing will ever be: what there is begins after it.
   */
  #startBehindGap(hls: Hls, { fragments, fragmentEnd }: LevelDetails): void {
    const wanted = hls.liveSyncPosition;
    if (wanted === null || fragmentEnd <= wanted) return;
    if (fragments.every((fragment) => fragment.gap)) hls.startLoad(fragmentEnd);
  }

  /**
   * The first picture shows at once, and stands until it is as late as playing will stay: whoever
   * starts at the very edge runs dry at every part.
   */
  #settle(hls: Hls): void {
    const details = hls.latestLevelDetails;
    if (!details?.live) return;
    const latency = details.edge + details.age - this.#video.currentTime;
    const early = (hls.targetLatency ?? 0) - latency;
    if (early <= 0) return;
    this.#video.playbackRate = 0;
    this.#settling = setTimeout(() => (this.#video.playbackRate = 1), early * 1_000);
  }

  shownAt(): number | null {
    return this.#hls?.playingDate?.getTime() ?? null;
  }

  livePosition(): number | null {
    return this.#hls?.liveSyncPosition ?? null;
  }

  targetLatency(): number | null {
    return this.#hls?.targetLatency ?? null;
  }

  forgetStalls(): void {
    const details = this.#hls?.latestLevelDetails;
    if (this.#hls && details && details.partHoldBack > 0) {
      this.#hls.targetLatency = details.partHoldBack;
    }
  }
}

/** Safari's own name for the date at which an element's timeline starts. */
interface DatedVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

class NativeEngine implements Engine {
  readonly name = "native";
  readonly #video: DatedVideo;
  #loaded = false;

  constructor(video: HTMLVideoElement, broken: Broken) {
    this.#video = video;
    video.addEventListener("error", () => {
      if (this.#loaded) broken(`media error ${video.error?.code ?? 0}`);
    });
  }

  load(playlist: string): void {
    this.#loaded = true;
    this.#video.src = playlist;
    this.#video.load();
  }

  stop(): void {
    if (!this.#loaded) return;
    this.#loaded = false;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  shownAt(): number | null {
    const start = this.#video.getStartDate?.().getTime() ?? NaN;
    return Number.isNaN(start) ? null : start + this.#video.currentTime * 1_000;
  }

  livePosition(): number | null {
    const { seekable } = this.#video;
    return seekable.length > 0 ? seekable.end(seekable.length - 1) : null;
  }

  targetLatency(): number | null {
    return null;
  }

  forgetStalls(): void {
    // The browser decides alone.
  }
}

/**
 * The best engine here, or `null`. `wanted` (`hls` or `native`, from the address) overrules the
 * choice where the browser can do it. Apple's own player reads low-latency playlists itself.
 */
export function createEngine(
  video: HTMLVideoElement,
  wanted: string | null,
  broken: Broken,
): Engine | null {
  const native = video.canPlayType("application/vnd.apple.mpegurl") !== "";
  const preferNative = wanted === "native" || (wanted !== "hls" && isApple());
  if (native && (preferNative || !Hls.isSupported())) return new NativeEngine(video, broken);
  return Hls.isSupported() ? new HlsEngine(video, broken) : null;
}

function isApple(): boolean {
  return navigator.vendor.startsWith("Apple");
}
