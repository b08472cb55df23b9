/** What a rebuild may take from elsewhere, or as it is today, by the names of the command line. */
export const inputNames = [
  'cc-config',
  'builder',
  'docker-archive',
  'startup-kit',
  'kbs-client',
  'snpguest',
  'kbs-ca',
  'firmware',
  'base',
  'initrd',
] as const;

export type InputName = (typeof inputNames)[number];

/** Files that the command line names in place of the recorded ones. */
export type GivenInputs = Partial<Record<Exclude<InputName, 'kbs-ca' | 'initrd'>, string | undefined>>;

/** What the administrator chose. */
export interface Choice {
  given: GivenInputs;
  /** What is taken as a new build would find it today. */
  fresh: ReadonlySet<InputName>;
}

/** Whether another content than the recorded one is what the administrator asked for. */
export function isChosen({ given, fresh }: Choice, name: InputName): boolean {
  return fresh.has(name) || (given as Partial<Record<InputName, string>>)[name] !== undefined;
}
