import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { builderSchema } from '../../../src/config/builder-schema.ts';
import { ccConfigSchema } from '../../../src/config/cc-config-schema.ts';
import { guidance, unwrapped } from '../../../src/config/guidance.ts';
import { jsonSchemaFiles } from '../../../src/config/json-schema.ts';

describe('schemas/', () => {
  it.each(
    Object.entries(jsonSchemaFiles()),
  )('%s is what the zod schemas say (npm run schemas)', (name, content) => {
    expect(readFileSync(join(import.meta.dirname, '../../../schemas', name), 'utf8')).toBe(content);
  });

  it('let unknown keys pass, as the parser does', () => {
    for (const content of Object.values(jsonSchemaFiles())) {
      expect(JSON.parse(content)).not.toHaveProperty('additionalProperties');
    }
  });
});

describe('every setting', () => {
  const settings = (schema: z.ZodObject, prefix = ''): [string, z.core.$ZodType][] =>
    Object.entries(schema.shape).flatMap(([key, value]) => {
      const inner = unwrapped(value);
      const below = inner instanceof z.ZodObject ? settings(inner, `${prefix}${key}.`) : [];
      return [[`${prefix}${key}`, inner] as [string, z.core.$ZodType], ...below];
    });

  it.each([
    ...settings(ccConfigSchema),
    ...settings(builderSchema),
  ])('%s has a description and says what is allowed', (_, schema) => {
    expect((schema as z.ZodType).description).toMatch(/\.$/);
    expect(guidance.get(schema)?.allowed).toBeTruthy();
  });
});
