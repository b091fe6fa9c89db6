/** How the pictures of this project are shown: kept by the server, for every window alike. */
import { Draft } from "./drafts.svelte";

export type ViewerSettings = {
  /** What is kept, once the server has told. */
  read: () => Promise<Record<string, unknown>>;
  /** Keep some of them; those that are not named stay. */
  write: (changed: Record<string, unknown>) => void;
};

const known = new Map<string, ViewerSettings>();

/** Return the settings of a kind of viewer; all viewers of a kind share them. */
export function settingsOf(kind: string): ViewerSettings {
  let found = known.get(kind);
  if (!found) {
    found = open(kind);
    known.set(kind, found);
  }
  return found;
}

function open(kind: string): ViewerSettings {
  const draft = new Draft(`viewer/${kind}`);
  // Nobody is asked whose contrast is right: the one that was set last stands.
  $effect.root(() => {
    $effect(() => {
      if (draft.theirs) draft.keepMine();
    });
  });
  const loaded = draft.load();
  return {
    read: async () => {
      await loaded;
      return { ...draft.value };
    },
    write: (changed) => draft.set({ ...draft.value, ...changed }),
  };
}
