import { z } from 'zod';

/** What a message says about a value that its schema refuses. */
export interface Guidance {
  /** Completes "it must be …". */
  allowed: string;
  /** Values that are known but not taken, and why. */
  refused?: Readonly<Record<string, string>>;
}

/** Texts for messages, beside the schemas they belong to. Kept apart from what the JSON Schema shows. */
export const guidance = z.registry<Guidance>();

/** A schema with its description (for editors and the reference) and what messages say is allowed. */
export function described<Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  allowed: string,
  refused?: Guidance['refused'],
): Schema {
  const copy = schema.describe(description);
  guidance.add(copy, refused === undefined ? { allowed } : { allowed, refused });
  return copy;
}

/** The schema below `.optional()`, `.default()` and `.prefault()`. */
export function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap();
  }
  return inner;
}

/** The schema of what lies under one key or index, or undefined where the schema knows of none. */
export function schemaBelow(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | undefined {
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject) return inner.shape[String(step)];
  if (inner instanceof z.ZodRecord) return inner.valueType;
  if (inner instanceof z.ZodArray) return inner.element;
  return undefined;
}

/** The schema of what lies under a path, unwrapped. */
export function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let below: z.core.$ZodType | undefined = schema;
  for (const step of path) below = below && schemaBelow(below, step);
  return below && unwrapped(below);
}
