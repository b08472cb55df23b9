import { localFirmware } from '../../base/index.ts';
import { parseCcConfig } from '../../config/index.ts';
import type { Cache } from '../../graph/cache.ts';
import { hasCode, messageOf, UserError } from '../../host/errors.ts';
import { readTextFile, sha256File } from '../../host/files.ts';
import { firmwareOf } from '../accept-firmware.ts';
import { knownBase } from '../base-of-site.ts';
import { brokerCertificate, programFile } from '../key-broker.ts';
import { sha256Text } from '../record/collect.ts';
import type { BuildRecord } from '../record/schema.ts';
import type { BuildSettings } from '../settings.ts';
import { differences } from './differences.ts';
import { initrdState } from './initrd-state.ts';
import { type Choice, type InputName, isChosen } from './inputs.ts';
import { kitDigest } from './kit-digest.ts';

/** One input of a build beside what it was. */
export interface InputState {
  name: InputName;
  /**
   * `same`; `new` where another content was asked for; `changed` or `gone` where nobody asked for it: then there is no
   * rebuild.
   */
  state: 'same' | 'new' | 'changed' | 'gone';
  /** Where it is, and what differs. */
  detail: string;
}

interface Comparison {
  record: BuildRecord;
  settings: BuildSettings;
  choice: Choice;
  cache: Cache;
  signal: AbortSignal;
}

/** Compares everything that a rebuild would use with what the record says; reads all of it, and changes nothing. */
export async function compareInputs(comparison: Comparison): Promise<InputState[]> {
  const { record, settings, choice, signal } = comparison;
  const { inputs } = record;
  const state = (
    name: InputName,
    was: string | undefined,
    is: string | undefined,
    place: string,
  ): InputState => {
    if (was === is) return { name, state: 'same', detail: place };
    const what = `${place}: ${short(was)} -> ${short(is)}`;
    if (isChosen(choice, name) && is !== undefined) return { name, state: 'new', detail: what };
    return { name, state: is === undefined ? 'gone' : 'changed', detail: what };
  };
  const file = (path: string) => digestOf(path, signal);
  const program = async (name: 'kbs-client' | 'snpguest', was: string | undefined) => {
    const path = programFile(settings, name);
    const is = await file(path);
    // What was not there and is not there needs no line.
    return was === undefined && is === undefined ? [] : [state(name, was, is, path)];
  };
  const firmware =
    firmwareOf(settings)?.file ?? (await localFirmware({ cache: comparison.cache, ...settings }))?.file;
  const kit = Object.values(settings.userConfig).join(', ');
  const certificate = await brokerCertificate(settings);
  return [
    await ccConfig(comparison),
    builderSettings(comparison),
    state(
      'docker-archive',
      inputs.docker_archive.sha256,
      await file(settings.dockerArchive),
      settings.dockerArchive,
    ),
    state('startup-kit', inputs.user_config.sha256, await kitDigest(settings.userConfig, signal), kit),
    ...(settings.kind === 'production' ? await program('kbs-client', inputs.kbs_client?.sha256) : []),
    ...(await program('snpguest', inputs.snpguest?.sha256)),
    state(
      'kbs-ca',
      inputs.kbs_ca.sha256,
      certificate === undefined ? undefined : sha256Text(certificate),
      "the key broker's certificate",
    ),
    state(
      'firmware',
      inputs.firmware.sha256,
      firmware === undefined ? undefined : await file(firmware),
      firmware ?? inputs.firmware.path,
    ),
    await base(comparison, state),
    await initrdState(record, settings, comparison.cache, signal),
  ];
}

/** @throws UserError naming every input that is not what it was, and that nobody asked to change. */
export function refuseUnasked(id: string, states: readonly InputState[]): void {
  const refused = states.filter(({ state }) => state === 'changed' || state === 'gone');
  if (refused.length === 0) return;
  const names = refused.map(({ name }) => name);
  throw new UserError(`cannot rebuild ${id} from its record: not as they were: ${names.join(', ')}`, {
    details: refused.map(
      ({ name, state, detail }) => `${name} ${state === 'gone' ? 'has gone' : 'changed since'}: ${detail}`,
    ),
    hint: `put them back; or name others (--docker-archive, --startup-kit, …); or take them as they are today: --fresh ${names.join(',')}`,
  });
}

type State = (name: InputName, was: string | undefined, is: string | undefined, place: string) => InputState;

/** A base that has to be made is another one, with the packages of today. */
async function base(
  { record, settings, choice, cache, signal }: Comparison,
  state: State,
): Promise<InputState> {
  const was = record.inputs.base;
  const found = await knownBase({ settings, cache }, signal).catch((error: unknown) => {
    if (error instanceof UserError) return undefined;
    throw error;
  });
  if (found !== undefined || !isChosen(choice, 'base')) {
    return state('base', was.id, found?.id, found?.origin ?? `${was.origin}, in the cache`);
  }
  const from = settings.builder.base.image ?? 'packages of today';
  return { name: 'base', state: 'new', detail: `${short(was.id)} -> made anew, from ${from}` };
}

/** The settings of the text that is used, and whether the recorded file says something else by now. */
async function ccConfig({ record, settings, choice }: Comparison): Promise<InputState> {
  const name = 'cc-config';
  const { path, text } = settings.read.ccConfig;
  const valuesOf = (source: string) => parseCcConfig(source, path).config;
  const described = (other: string) => {
    const lines = differences(valuesOf(record.cc_config.text), valuesOf(other));
    return lines.length === 0 ? 'the same settings in other words' : lines.join('; ');
  };
  if (isChosen(choice, name)) {
    if (text === record.cc_config.text) return { name, state: 'same', detail: path };
    return { name, state: 'new', detail: `${path}: ${described(text)}` };
  }
  const today = await readTextFile(path).catch(() => undefined);
  if (today === undefined) return { name, state: 'same', detail: `as recorded; ${path} has gone` };
  if (today === record.cc_config.text) return { name, state: 'same', detail: path };
  return { name, state: 'changed', detail: `${path}: ${described(today)}` };
}

function builderSettings({ record, settings, choice }: Comparison): InputState {
  const name = 'builder';
  const { builderFile, builderValues } = settings.read;
  const place = builderFile ?? 'no builder.yml';
  const lines = differences(record.builder.values, builderValues);
  if (lines.length === 0) return { name, state: 'same', detail: place };
  const detail = `${place}: ${lines.join('; ')}`;
  return { name, state: isChosen(choice, name) ? 'new' : 'changed', detail };
}

async function digestOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await sha256File(path, { signal })).hex;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    signal.throwIfAborted();
    throw new UserError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function short(digest: string | undefined): string {
  return digest === undefined ? 'none' : `${digest.slice(0, 12)}…`;
}
