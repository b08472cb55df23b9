import type { Era, EraName } from './era.ts';
import { field } from './field.ts';
import { main } from './main.ts';

export type { Era, EraName } from './era.ts';

/** Both eras by name. */
export const eras: Record<EraName, Era> = { field, main };
