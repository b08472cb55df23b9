import { defineConfig } from 'vitest/config';

/** Tests that boot: two VMs at a time, of bundles that are built once for all. */
const boots = {
  globalSetup: ['test/e2e/global-setup.ts'],
  testTimeout: 900_000,
  hookTimeout: 1_200_000,
  maxWorkers: 2,
};

/**
 * Unit tests need neither root nor network; integration tests run the real host tools; e2e tests boot; nightly tests do what
 * takes long; peer tests are run by test/peers/run, which prepares others' software, and flare tests by test/flare/run.
 */
export default defineConfig({
  test: {
    projects: [
      // Property tests take seconds on a busy machine; nothing is proved by stopping them.
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...boots } },
      { test: { name: 'nightly', include: ['test/nightly/**/*.test.ts'], ...boots } },
      // FLARE's server and client in two emulated VMs at once; run by test/flare/run.
      {
        test: {
          name: 'flare',
          include: ['test/flare/**/*.test.ts'],
          testTimeout: 3_600_000,
          hookTimeout: 1_200_000,
        },
      },
      {
        test: {
          name: 'peers',
          include: ['test/peers/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
