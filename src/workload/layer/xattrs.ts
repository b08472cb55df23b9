/**
 * Extended attributes that survive: file capabilities and the user's own. `trusted.overlay.*` steers overlayfs, and a
 * layer must not (nor by `user.overlay.*`, overlayfs' other spelling); the rest means nothing to a container here.
 */
function survives(name: string): boolean {
  return name === 'security.capability' || (name.startsWith('user.') && !name.startsWith('user.overlay.'));
}

/** Parts a layer's own attributes into those that survive and the names of those that do not. */
export function siftXattrs(xattrs: ReadonlyMap<string, Buffer>): {
  kept: Map<string, Buffer>;
  dropped: string[];
} {
  const kept = new Map<string, Buffer>();
  const dropped: string[] = [];
  for (const [name, value] of xattrs) {
    if (survives(name)) kept.set(name, value);
    else dropped.push(name);
  }
  return { kept, dropped };
}
