import { type ImageRecord, launchDigestsOf } from '../registry/record.ts';
import { digestEncodings } from './entry.ts';
import type { RegoCase } from './rego-engine.ts';
import { type MinimumTcb, tcbParts } from './text.ts';

/** A request to a key broker, and whether the key may be released. */
export interface PolicyCase extends RegoCase {
  /** What is special about it, e.g. `debugging allowed`. */
  title: string;
  /** Which key brokers ask in this way. */
  era: Era['name'];
  /** The image whose claims, or whose path, the case is about. */
  image: string;
  expected: boolean;
}

/** One release's way of asking a policy and of writing a launch digest. */
interface Era {
  name: 'up to v0.16' | 'from v0.18';
  data(path: string, plugin?: string): Record<string, unknown>;
  measurement(hex: string): string;
}

/** v0.17 asks as the later ones do and writes digests as the earlier ones did; the policy takes either digest. */
const eras: readonly Era[] = [
  {
    name: 'up to v0.16',
    data: (path, plugin = 'resource') => ({ 'resource-path': `${plugin}/${path}` }),
    measurement: (hex) => digestEncodings(hex).base64,
  },
  {
    name: 'from v0.18',
    data: (path, plugin = 'resource') => ({ plugin, 'resource-path': path.split('/'), query: {} }),
    measurement: (hex) => hex,
  },
];

type Claims = Record<string, unknown>;

/** The claims of an attestation token (EAR) about a guest with this `snp` part. */
function earClaims(evidence: Claims): Claims {
  return {
    eat_profile: 'tag:github.com,2024:confidential-containers/Trustee',
    submods: { cpu0: { 'ear.status': 'contraindicated', 'ear.veraison.annotated-evidence': evidence } },
  };
}

/** What SEV-SNP hardware claims of a guest whose owner allowed neither debugging nor migration. */
function snpClaims(measurement: string): Claims {
  const highest = Object.fromEntries(tcbParts.map((part) => [`reported_tcb_${part}`, 255]));
  return {
    measurement,
    policy_abi_major: 0,
    policy_abi_minor: 31,
    policy_debug_allowed: false,
    policy_migrate_ma: false,
    policy_single_socket: false,
    policy_smt_allowed: true,
    platform_smt_enabled: true,
    platform_tsme_enabled: false,
    ...highest,
  };
}

/** A path and a plugin that no administrator has rules for. */
const nobody = { path: 'cvm-builder-self-test/none/none', plugin: 'cvm-builder-self-test' } as const;

/**
 * The cases of one image: its own claims on its own path, as every era asks, and everything that must not open it.
 * @param others active images whose paths its claims must not open.
 */
export function casesOf(
  image: ImageRecord,
  others: readonly ImageRecord[],
  minimum: MinimumTcb = {},
): PolicyCase[] {
  return eras.flatMap((era) => {
    const own = era.data(image.resourcePath);
    const active = image.status === 'active';
    const make = (
      title: string,
      input: unknown,
      data: Record<string, unknown>,
      expected = false,
    ): PolicyCase => ({
      title,
      era: era.name,
      image: image.id,
      input,
      data,
      expected,
    });
    const digests = launchDigestsOf(image) as [string, ...string[]];
    const [first] = digests;
    const snp = snpClaims(era.measurement(first));
    const right = earClaims({ snp });
    const changed = (changes: Claims) => earClaims({ snp: { ...snp, ...changes } });
    const without = (claim: string) => {
      const { [claim]: _, ...rest } = snp;
      return earClaims({ snp: rest });
    };
    const strange = era.measurement(otherDigest(first));
    const positive = (active ? ends(digests) : [first]).map((hex, index) =>
      make(
        active ? `its own digest${index === 0 ? '' : ', the last one'}` : 'its digest, though it is retired',
        earClaims({ snp: snpClaims(era.measurement(hex)) }),
        own,
        active,
      ),
    );
    const foreign = others
      .filter(({ resourcePath }) => resourcePath !== image.resourcePath)
      .filter((other) => !launchDigestsOf(other).includes(first))
      .map(({ id, resourcePath }) => make(`the path of image ${id}`, right, era.data(resourcePath)));
    const holder = others.find(({ resourcePath }) => resourcePath === image.resourcePath);
    const heldByOther = !active && holder !== undefined && launchDigestsOf(holder).includes(first);
    return [
      ...(heldByOther ? [] : positive),
      ...foreign,
      make('another digest', changed({ measurement: strange }), own),
      make('a path nobody has', right, era.data(nobody.path)),
      make('another plugin', right, era.data(image.resourcePath, nobody.plugin)),
      make('a longer path', right, era.data(`${image.resourcePath}/x`)),
      make('no path', right, {}),
      make('debugging allowed', changed({ policy_debug_allowed: true }), own),
      make('migration allowed', changed({ policy_migrate_ma: true }), own),
      make('debugging off as a text', changed({ policy_debug_allowed: 'false' }), own),
      make('migration off as a number', changed({ policy_migrate_ma: 0 }), own),
      ...['measurement', 'policy_debug_allowed', 'policy_migrate_ma'].map((claim) =>
        make(`no ${claim}`, without(claim), own),
      ),
      make('a list of digests', changed({ measurement: [era.measurement(first)] }), own),
      make('an empty digest', changed({ measurement: '' }), own),
      make('sample evidence', earClaims({ sample: { svn: '1', launch_digest: 'abcde' } }), own),
      make('sample evidence with its digest', earClaims({ sample: snp }), own),
      make('evidence of another TEE with its digest', earClaims({ tdx: snp }), own),
      make('a token without claims', {}, own),
      ...tcbCases(minimum).map(([title, changes]) => make(title, changed(changes), own)),
      ...(active && Object.keys(minimum).length > 0 && positive.length > 0
        ? [make('exactly the minimum TCB', changed(tcbClaims(minimum)), own, true)]
        : []),
    ];
  });
}

function tcbClaims(minimum: MinimumTcb): Claims {
  return Object.fromEntries(
    Object.entries(minimum).map(([part, version]) => [`reported_tcb_${part}`, version]),
  );
}

/** Below each minimum, as a text (every text is greater than every number in Rego), and not claimed at all. */
function tcbCases(minimum: MinimumTcb): [string, Claims][] {
  return tcbParts.flatMap((part): [string, Claims][] => {
    const version = minimum[part];
    if (version === undefined) return [];
    const claim = `reported_tcb_${part}`;
    return [
      [`${claim} below the minimum`, { [claim]: version - 1 }],
      [`${claim} as a text`, { [claim]: '255' }],
      [`${claim} of null`, { [claim]: null }],
    ];
  });
}

/** The first and the last, once where they are one. */
function ends<Item>(items: readonly Item[]): Item[] {
  return items.length > 1 ? [items[0]!, items.at(-1)!] : [...items];
}

/** A digest that differs in one bit. */
function otherDigest(hex: string): string {
  return hex.slice(0, -1) + (Number.parseInt(hex.at(-1)!, 16) ^ 1).toString(16);
}
