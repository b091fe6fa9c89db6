/** One form: its options, what was typed, what stands against it, and what starts the job. */
import { OfflineError } from "../api/client";
import * as api from "../api/endpoints";
import type { Checked, Form, FormOption, FormTab, MadeJob, ProblemRow, Values } from "../api/types";
import { fillFrom } from "../lib/fill";
import { token } from "../lib/random";
import { holds, labelOf, whyOff } from "../lib/rules";
import { Draft } from "./drafts.svelte";
import { notices } from "./notices.svelte";
import { isRecord } from "./storage";

export type Mode = "new" | "continue" | "overwrite";
/** Why an option cannot be changed now, and how that is shown. */
export type Off = { why: string; isLocked: boolean } | null;

const CHECK_AFTER_MS = 350;

export class FormState {
  readonly word: string;
  readonly mode: Mode;
  readonly job: number | null;
  readonly draft: Draft;
  form = $state.raw<Form | null>(null);
  failure = $state<unknown>(null);
  checked = $state.raw<Checked | null>(null);
  isChecking = $state(false);
  isSending = $state(false);
  isClosed = false;
  tab = $state("");

  readonly options = $derived(
    new Map(this.allOptions(this.form).map((option) => [option.name, option] as const)),
  );
  readonly typed: Values = $derived.by(() => this.readTyped());
  readonly values: Values = $derived({ ...(this.form?.values ?? {}), ...this.typed });
  readonly alias = $derived.by(() => this.readAlias());
  readonly problems = $derived(groupByOption(this.checked?.problems ?? []));
  readonly warnings = $derived(groupByOption(this.checked?.warnings ?? []));
  readonly changed = $derived(
    [...this.options.values()].filter(
      (option) => this.isChanged(option) && this.off(option) === null,
    ),
  );
  readonly canStart = $derived.by(() => this.mayStart());

  private timer: ReturnType<typeof setTimeout> | null = null;
  private asking: AbortController | null = null;
  private requestId: string | null = null;
  private readonly waiting: (() => void)[] = [];

  constructor(word: string, mode: Mode, job: number | null) {
    this.word = word;
    this.mode = mode;
    this.job = job;
    this.draft = new Draft(mode === "new" ? `form/${word}` : `form/job/${job}/${mode}`);
  }

  /** Load the form and what was typed into it. */
  async load(): Promise<void> {
    try {
      const [form] = await Promise.all([
        api.form(this.word, this.job === null ? {} : { job: this.job }),
        this.draft.load(),
      ]);
      this.form = form;
      this.tab = form.tabs[0]?.title ?? "";
      this.checkSoon(0);
    } catch (error) {
      this.failure = error;
    }
  }

  /** Fill in the values of job `from`, and the outputs of job `after` as inputs. */
  async begin(from: number | null, after: number | null): Promise<void> {
    if (this.form === null) return;
    try {
      if (from !== null) await this.fill(from);
      if (after !== null) await this.follow(after);
    } catch (error) {
      notices.fail(error);
    }
  }

  set(name: string, value: unknown): void {
    const { [name]: _before, ...others } = this.typed;
    const isAsFilled = value === this.form?.values[name];
    this.keep(isAsFilled ? others : { ...others, [name]: value });
  }

  setAlias(alias: string): void {
    this.draft.set({ values: this.typed, alias });
    this.checkSoon();
  }

  /** Take all these values at once, for instance those of another job. */
  take(values: Values): void {
    const typed: Values = {};
    for (const name of this.options.keys()) {
      if (name in values && values[name] !== this.form?.values[name]) typed[name] = values[name];
    }
    this.keep(typed);
  }

  /** Go back to the defaults of RELION and this site. */
  toDefaults(): void {
    const typed: Values = {};
    for (const option of this.options.values()) {
      if (this.off(option)?.isLocked) continue;
      if (this.form?.values[option.name] !== option.default) typed[option.name] = option.default;
    }
    this.keep(typed);
  }

  /** Fill in the values of another job of this type. */
  async fill(job: number): Promise<void> {
    const before = this.draft.value;
    const other = await api.form(this.word, { job });
    this.take(other.values);
    notices.say(
      `The form has the values of job ${job}.`,
      before ? () => this.draft.set(before) : () => this.keep({}),
    );
  }

  isChanged(option: FormOption): boolean {
    return !sameValue(this.values[option.name], option.default);
  }

  /** Return why an option is not used or cannot be changed; null where it can. */
  off(option: FormOption): Off {
    if (option.locked_here) return { why: "Fixed for this site.", isLocked: true };
    if (this.mode === "continue" && option.on_continue === "locked") {
      return { why: "Fixed since the job started.", isLocked: true };
    }
    if (this.mode !== "continue" && option.on_continue === "only") {
      return { why: "Only when continuing a job.", isLocked: false };
    }
    if (holds(option.when, this.values)) return null;
    return { why: whyOff(option.when, this.values, this.options), isLocked: false };
  }

  /** Whether a tab is folded to its switch, which is off. */
  isFolded(tab: FormTab): boolean {
    return tab.switch !== null && !holds({ key: tab.switch, equals: true }, this.values);
  }

  optionsOf(tab: FormTab): FormOption[] {
    return tab.groups.flatMap((group) => group.options);
  }

  /** Run, schedule, continue or overwrite; the answer, or null where it was refused. */
  async start(isScheduled: boolean): Promise<MadeJob | null> {
    if (this.isSending) return null;
    this.isSending = true;
    this.requestId ??= token();
    try {
      const made = await api.makeJob({
        word: this.word,
        values: this.sent(),
        mode: this.mode === "new" ? (isScheduled ? "schedule" : "run") : this.mode,
        schedule: isScheduled,
        job: this.job,
        alias: this.alias || null,
        request_id: this.requestId,
      });
      this.requestId = null;
      await this.draft.drop();
      return made;
    } catch (error) {
      // Nobody knows whether the server took it: the same name makes a second press harmless.
      if (!(error instanceof OfflineError)) this.requestId = null;
      notices.fail(error);
      this.checkSoon(0);
      return null;
    } finally {
      this.isSending = false;
    }
  }

  /** Wait until all that was typed has been checked. */
  async settled(): Promise<void> {
    if (this.isChecking && !this.isClosed) await new Promise<void>((go) => this.waiting.push(go));
  }

  checkSoon(after = CHECK_AFTER_MS): void {
    if (this.isClosed) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.isChecking = true;
    this.timer = setTimeout(() => void this.check(), after);
  }

  close(): void {
    this.isClosed = true;
    this.endWaiting();
    if (this.timer !== null) clearTimeout(this.timer);
    this.asking?.abort();
    this.draft.close();
  }

  private readTyped(): Values {
    const value = this.draft.value?.["values"];
    return isRecord(value) ? value : {};
  }

  private readAlias(): string {
    return String(this.draft.value?.["alias"] ?? "");
  }

  private mayStart(): boolean {
    if (this.form === null || this.isSending || this.isChecking) return false;
    return this.checked?.ok === true && this.draft.theirs === null;
  }

  /** Put the outputs of a finished job where they fit. */
  private async follow(job: number): Promise<void> {
    const before = await api.job(job);
    const filled = fillFrom(before.output_nodes, [...this.options.values()]);
    this.keep({ ...this.typed, ...filled });
  }

  private keep(values: Values): void {
    this.requestId = null;
    this.draft.set({ values, alias: this.alias });
    this.checkSoon();
  }

  private sent(): Values {
    const isContinue = this.mode === "continue";
    const sent = [...this.options.values()].filter(
      (option) => !option.locked_here && !(isContinue && option.on_continue === "locked"),
    );
    return Object.fromEntries(sent.map((option) => [option.name, this.values[option.name]]));
  }

  private async check(): Promise<void> {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    try {
      const checked = await api.check(
        this.word,
        {
          values: this.sent(),
          alias: this.alias || null,
          continue_job: this.mode === "continue" ? this.job : null,
          overwrite_job: this.mode === "overwrite" ? this.job : null,
        },
        asking.signal,
      );
      this.checked = checked;
      this.isChecking = false;
      this.endWaiting();
    } catch (error) {
      if (asking.signal.aborted) return;
      if (error instanceof OfflineError) this.checkSoon(3000);
      else {
        this.isChecking = false;
        this.checked = null;
        this.endWaiting();
        notices.fail(error);
      }
    }
  }

  private endWaiting(): void {
    for (const go of this.waiting.splice(0)) go();
  }

  private allOptions(form: Form | null): FormOption[] {
    return form?.tabs.flatMap((tab) => tab.groups.flatMap((group) => group.options)) ?? [];
  }

  /** The label of an option, for lists of what changed. */
  label(option: FormOption): string {
    return labelOf(option);
  }
}

function sameValue(a: unknown, b: unknown): boolean {
  return a === b || String(a ?? "") === String(b ?? "");
}

function groupByOption(problems: readonly ProblemRow[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { where, message } of problems)
    found.set(where, [...(found.get(where) ?? []), message]);
  return found;
}
