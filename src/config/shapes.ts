/** A list, or an empty one for anything else: rules see values that the schema may yet refuse. */
export const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Whether a value is a map of a YAML file. */
export const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A map, or an empty one for anything else. */
export const mapOf = (value: unknown): Record<string, unknown> => (isMap(value) ? value : {});
