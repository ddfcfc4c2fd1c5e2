// OBS Studio under a virtual display, with a fresh home folder of its own.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, start, stop, until } from './process.mjs';

const ini = (sections) => Object.entries(sections)
  .map(([name, keys]) => `[${name}]\n${Object.entries(keys).map(([k, v]) => `${k}=${v}\n`).join('')}`)
  .join('\n');

/** A virtual display, and OBS on it streaming to `server` with `key` from its start. */
export class Obs {
  static async start({ server, key, keyframeSeconds = 2, reconnect = false }) {
    const obs = new Obs();
    obs.home = mkdtempSync(join(tmpdir(), 'obs-'));
    obs.#configure({ server, key, keyframeSeconds, reconnect });
    const display = `:${90 + Math.floor(Math.random() * 900)}`;
    obs.display = start('Xvfb', [display, '-screen', '0', '1280x720x24', '-nolisten', 'tcp', '-ac']);
    await until('the display is up', async () => (
      await run('sh', ['-c', `test -e /tmp/.X11-unix/X${display.slice(1)}`])).code === 0);
    obs.process = start('obs', ['--startstreaming', '--minimize-to-tray', '--multi'], {
      env: {
        PATH: process.env.PATH, HOME: obs.home, DISPLAY: display, LANG: 'C.UTF-8',
        XDG_RUNTIME_DIR: obs.home, LIBGL_ALWAYS_SOFTWARE: '1', QT_QPA_PLATFORM: 'xcb',
      },
    });
    return obs;
  }

  /** What OBS wrote to its own log so far. */
  log() {
    try {
      const folder = join(this.home, '.config/obs-studio/logs');
      return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
    } catch { return ''; }
  }

  async stop() {
    await stop(this.process, { grace: 8_000 });
    await stop(this.display);
    const log = this.log();
    rmSync(this.home, { recursive: true, force: true });
    return log;
  }

  #configure({ server, key, keyframeSeconds, reconnect }) {
    const base = join(this.home, '.config/obs-studio');
    const profile = join(base, 'basic/profiles/Test');
    const scenes = join(base, 'basic/scenes');
    mkdirSync(profile, { recursive: true });
    mkdirSync(scenes, { recursive: true });
    writeFileSync(join(base, 'global.ini'), ini({
      General: { FirstRun: 'true', EnableAutoUpdates: 'false', LastVersion: '486539266' },
      Basic: { Profile: 'Test', ProfileDir: 'Test', SceneCollection: 'Test', SceneCollectionFile: 'Test' },
      BasicWindow: { WarnBeforeStartingStream: 'false', PreviewEnabled: 'false' },
      Video: { Renderer: 'OpenGL' },
      OBSWebSocket: { ServerEnabled: 'false', FirstLoad: 'false' },
    }));
    writeFileSync(join(profile, 'basic.ini'), ini({
      General: { Name: 'Test' },
      Video: {
        BaseCX: 640, BaseCY: 360, OutputCX: 640, OutputCY: 360, FPSType: 0, FPSCommon: 30,
      },
      Output: { Mode: 'Advanced', Reconnect: `${reconnect}`, RetryDelay: 2, MaxRetries: 5 },
      AdvOut: { Encoder: 'obs_x264', AudioEncoder: 'ffmpeg_aac', TrackIndex: 1, Track1Bitrate: 96 },
      Audio: { SampleRate: 48000 },
    }));
    writeFileSync(join(profile, 'streamEncoder.json'), JSON.stringify({
      bitrate: 800, rate_control: 'CBR', keyint_sec: keyframeSeconds, preset: 'ultrafast',
    }));
    writeFileSync(join(profile, 'service.json'), JSON.stringify({
      type: 'rtmp_custom', settings: { server, key, use_auth: false },
    }));
    writeFileSync(join(scenes, 'Test.json'), JSON.stringify({
      name: 'Test', current_scene: 'Scene', current_program_scene: 'Scene',
      scene_order: [{ name: 'Scene' }],
      sources: [
        { id: 'color_source_v3', name: 'Colour', settings: { color: 4291940817, width: 640, height: 360 } },
        { id: 'scene', name: 'Scene', settings: { items: [{ name: 'Colour', id: 1, visible: true }] } },
      ],
    }));
  }
}
