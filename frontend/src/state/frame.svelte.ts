/** The frame of the window: sidebar tab, drawer, full window, filter. */

class Frame {
  side = $state<"jobs" | "new" | "viewer">("jobs");
  /** What an open viewer puts into the sidebar, such as the list of micrographs. */
  readonly viewerSide = document.createElement("div");
  viewerTitle = $state("");
  isDrawerOpen = $state(false);
  isWhole = $state(false);
  filter = $state("");
  typeFilter = $state("");

  /** Put the cursor into the filter of the sidebar. */
  focusFilter(): void {
    this.isDrawerOpen = true;
    requestAnimationFrame(() => {
      const fields = document.querySelectorAll<HTMLElement>(".side .filter .in");
      [...fields].find((field) => field.offsetParent !== null)?.focus();
    });
  }

  /** A viewer takes a tab of the sidebar; returns how to give it back. */
  lend(title: string): () => void {
    const before = this.side;
    this.viewerTitle = title;
    this.side = "viewer";
    return () => {
      this.viewerTitle = "";
      if (this.side === "viewer") this.side = before === "viewer" ? "jobs" : before;
    };
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
