import type { BuilderConfig } from '../../config/index.ts';
import type { BuildRecord } from './schema.ts';

/** The settings of builder.yml that an image depends on. */
export type BuilderValues = BuildRecord['builder']['values'];

/** Takes them from builder.yml's, as JSON keeps them: what is undefined is left out. */
export function imageValues({ kbs, base, machine, userConfigPlain }: BuilderConfig): BuilderValues {
  const { url, resourcePrefix } = kbs;
  // Records of earlier builders have no such list, which says the same as an empty one.
  const opened = userConfigPlain.length === 0 ? {} : { userConfigPlain };
  return JSON.parse(JSON.stringify({ kbs: { url, resourcePrefix }, base, machine, ...opened }));
}
