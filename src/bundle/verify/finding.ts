import type { Manifest } from '../manifest.ts';
import type { BundleSource } from '../source/source.ts';
import type { ExaminedFile } from './files.ts';

/** Something that a check has to say about one subject. */
export interface Finding {
  /** What it is about: a file, `CPU model`, `launch digests`. */
  subject: string;
  /** A failure makes the bundle not whole; a note does not; `not checked` says that the check could not be made. */
  severity: 'failure' | 'note' | 'not checked';
  /** One sentence without a full stop. Like all texts of a finding it may quote the bundle, so show it with care. */
  text: string;
  /** File and line to look at. */
  file?: string;
  line?: number;
  expected?: string;
  found?: string;
  /** What comes of it, one clause. */
  consequence?: string;
  /** Further lines, e.g. the parameters that differ. */
  details?: readonly string[];
}

/** A bundle, each of its files read once. */
export interface ExaminedBundle {
  /** Where its files are, for checks that look closer. */
  source: BundleSource;
  manifest: Manifest;
  /** By file name, every file that the manifest lists. */
  files: ReadonlyMap<string, ExaminedFile>;
  signal: AbortSignal | undefined;
}

/** One question asked of a bundle. */
export interface Check {
  /** A few words, e.g. `launch digests`. */
  name: string;
  /** Answers it; throws only what is nobody's finding: an unreadable disk, a defect. */
  run(bundle: ExaminedBundle): Finding[] | Promise<Finding[]>;
}
