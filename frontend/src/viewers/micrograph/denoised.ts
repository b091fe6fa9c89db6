/** Micrographs as Topaz denoised them: asked for where they are wanted, shown when they are there. */
import { OfflineError, sentence } from "../../api/client";
import * as api from "./api";
import type { Picker } from "./picker";

const AGAIN_MS = 3000;

export class Denoised {
  /** Why there is none, for a person to read. */
  trouble = "";
  private readonly ready = new Set<string>();
  private asking = "";
  private failed = "";

  constructor(private readonly picker: Picker) {}

  private get key(): string {
    const { meta } = this.picker;
    return meta ? `${meta.path} ${meta.version}` : "";
  }

  get isShown(): boolean {
    return this.picker.settings.isDenoised && this.ready.has(this.key);
  }

  get isWaiting(): boolean {
    return this.asking !== "" && this.asking === this.key && this.picker.settings.isDenoised;
  }

  /** Begin, where the settings ask for it and nothing is under way. */
  want(): void {
    const { key, picker } = this;
    if (this.failed !== key || !picker.settings.isDenoised) this.trouble = this.failed = "";
    if (!picker.settings.isDenoised || picker.options.isCompact) return;
    if (this.ready.has(key) || this.asking === key || this.failed === key) return;
    this.asking = key;
    void this.make(key);
  }

  private async make(key: string): Promise<void> {
    const { picker } = this;
    const isWanted = (): boolean =>
      !picker.isClosed && this.asking === key && this.key === key && picker.settings.isDenoised;
    while (isWanted()) {
      try {
        const found = await api.denoise(picker.meta?.path ?? "", picker.job);
        if (found.is_ready) {
          this.ready.add(key);
          break;
        }
      } catch (error) {
        if (!(error instanceof OfflineError)) {
          if (isWanted()) [this.trouble, this.failed] = [sentence(error), key];
          break;
        }
      }
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
    if (this.asking === key) this.asking = "";
    picker.look();
    picker.tell();
  }
}
