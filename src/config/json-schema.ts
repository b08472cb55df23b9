import { z } from 'zod';
import { builderSchema } from './builder-schema.ts';
import { ccConfigSchema } from './cc-config-schema.ts';

/**
 * The JSON Schema files that editors read, by file name. They say of the input what the zod schemas say, so they
 * allow unknown keys; cross-field rules are beyond them.
 */
export function jsonSchemaFiles(): Record<string, string> {
  return {
    'cc_config.schema.json': render(ccConfigSchema, 'cc_config'),
    'builder.schema.json': render(builderSchema, 'builder.yml'),
  };
}

/** Draft 7 is what the YAML language servers of today's editors read best. */
function render(schema: z.ZodObject, title: string): string {
  const generated = z.toJSONSchema(schema.meta({ title }), { target: 'draft-7', io: 'input' });
  return `${JSON.stringify(generated, undefined, 2)}\n`;
}
