import { inject } from 'vitest';

/** A bundle that the global set-up built once; tests work on copies of it. */
export interface BuiltBundle {
  id: string;
  /** Folder `cvm_<id>`; never booted itself. */
  folder: string;
  /** `<name>.tgz`. */
  archive: string;
  /** Folder with the disk key: `handoff/cvm_<id>`. */
  handoff: string;
}

/** What {@link built} gives: paths only, as it crosses from the set-up's process to the tests' own. */
export interface Built {
  /** The quickstart bundle, built by `cvm_build.sh --dev`. */
  development: BuiltBundle;
  /** The same site without `--dev`, with a stand-in kbs-client. */
  production: BuiltBundle;
  /** `XDG_STATE_HOME` of the build. */
  stateHome: string;
  /** Folder of the development registry and of the development KBS's certificates. */
  state: string;
  /** Startup kit of the quickstart. */
  kit: string;
  /** Every command line and environment that any process had while the development bundle was built. */
  processesOfBuild: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    built: Built;
  }
}

/** The bundles of this test run. */
export function built(): Built {
  return inject('built');
}
