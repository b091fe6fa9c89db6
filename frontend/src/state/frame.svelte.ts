/** The frame of the window: sidebar tab, drawer, full window, filter. */

class Frame {
  side = $state<"jobs" | "new">("jobs");
  isDrawerOpen = $state(false);
  isWhole = $state(false);
  filter = $state("");
  typeFilter = $state("");

  /** Put the cursor into the filter of the sidebar. */
  focusFilter(): void {
    this.isDrawerOpen = true;
    requestAnimationFrame(() => document.querySelector<HTMLElement>(".side .filter .in")?.focus());
  }

  newJob(): void {
    this.side = "new";
    this.focusFilter();
  }

  skip(event: Event): void {
    event.preventDefault();
    document.getElementById("main")?.focus();
  }
}

export const frame = new Frame();
