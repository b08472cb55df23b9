import type { Cache } from '../../graph/cache.ts';
import { UserError } from '../../host/errors.ts';
import { genericPartKeys } from '../../initrd/index.ts';
import { knownBase } from '../base-of-site.ts';
import { knownKeyBroker } from '../key-broker.ts';
import type { BuildRecord } from '../record/schema.ts';
import type { BuildSettings } from '../settings.ts';
import type { InputState } from './compare.ts';

/**
 * Whether the parts of the initrd that sites share are the recorded ones. They follow from base and programs, so nobody has to
 * ask for others: a newer builder brings them, too.
 */
export async function initrdState(
  record: BuildRecord,
  settings: BuildSettings,
  cache: Cache,
  signal: AbortSignal,
): Promise<InputState> {
  const name = 'initrd';
  if (settings.refreshInitrd) return { name, state: 'new', detail: 'made again, --fresh initrd' };
  const keys = await keysOf(settings, cache, signal).catch((error: unknown) => {
    if (error instanceof UserError) return undefined;
    throw error;
  });
  if (keys === undefined) return { name, state: 'new', detail: 'follows from base and programs' };
  const changed = keys.filter((key) => !record.inputs.initrd_parts.includes(key)).length;
  if (changed === 0) return { name, state: 'same', detail: `${keys.length} parts` };
  return {
    name,
    state: 'new',
    detail: `${changed} of ${keys.length} parts: of another base, program or builder`,
  };
}

async function keysOf(
  settings: BuildSettings,
  cache: Cache,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const base = await knownBase({ settings, cache }, signal);
  const broker = await knownKeyBroker(settings, signal);
  return base && broker && genericPartKeys({ base, client: broker.client });
}
