/** Writes the JSON Schema files into `schemas/`: `npm run schemas`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonSchemaFiles } from './json-schema.ts';

const folder = join(import.meta.dirname, '../../schemas');
await mkdir(folder, { recursive: true });
for (const [name, content] of Object.entries(jsonSchemaFiles())) await writeFile(join(folder, name), content);
