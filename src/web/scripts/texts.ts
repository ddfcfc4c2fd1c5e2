import type { ChannelState } from "./status.js";

/** The words of the player, in the page's language; the server writes them into the page. */
export interface Texts {
  /** Sentences for the middle of the stage, words for beside it. */
  says: Record<ChannelState, string>;
  badges: Record<ChannelState, string>;
  reconnecting: string;
  unreachable: string;
  unsupported: string;
  behind: string;
  play: string;
  pause: string;
  mute: string;
  unmute: string;
  fullscreen: string;
  exit_fullscreen: string;
  advice_keyframes: string;
}
