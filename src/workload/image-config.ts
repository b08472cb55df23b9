import { z } from 'zod';

const words = z.array(z.string()).nullish();

/**
 * The parts of an image configuration that decide how it runs (OCI image specification, config.md; Docker's has the
 * same names). Other members are kept as they are.
 */
export const imageConfigSchema = z.looseObject({
  architecture: z.string(),
  os: z.string(),
  config: z
    .looseObject({
      User: z.string().nullish(),
      Env: words,
      Entrypoint: words,
      Cmd: words,
      WorkingDir: z.string().nullish(),
      /** Paths as keys; the values are empty. */
      Volumes: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
  rootfs: z.looseObject({
    /** SHA-256 of each layer's uncompressed tar, bottom first. */
    diff_ids: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/)),
  }),
});

export type ImageConfig = z.infer<typeof imageConfigSchema>;
