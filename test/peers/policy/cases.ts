import {
  affirming,
  asList,
  type Claims,
  debugged,
  type Era,
  eras,
  noTcbBut,
  otherEncoding,
  snp,
  tcbOf,
  token,
} from './claims.ts';
import { type Digest, digests, ofThousand, type PolicyName, paths } from './texts.ts';

/** A request, and whether the key may be released: written from what a policy is to do, not computed by one. */
export interface Case {
  title: string;
  policy: PolicyName;
  data: unknown;
  input: unknown;
  released: boolean;
}

function casesOf(era: Era): Case[] {
  const own = era.data(paths.one);
  const measurement = era.text(digests.one);
  const guest = (digest: Digest, changes?: Claims) => token({ snp: snp(era.text(digest), changes) });
  const claims = (changes: Claims) => guest(digests.one, changes);
  const right = guest(digests.one);
  const make = (
    policy: PolicyName,
    title: string,
    data: unknown,
    input: unknown,
    released: boolean,
  ): Case => ({
    title: `${title} (${policy}, ${era.name})`,
    policy,
    data,
    input,
    released,
  });
  const usual = (title: string, data: unknown, input: unknown, released: boolean) =>
    make('usual', title, data, input, released);
  const [first, last] = [ofThousand(1), ofThousand(1000)];
  const tcb = (title: string, changes: Claims, released: boolean) =>
    make('tcb', title, own, claims(changes), released);

  return [
    // Images and paths.
    usual('own path', own, right, true),
    usual('own path, another image', era.data(paths.two), guest(digests.two), true),
    usual('own path, second digest', era.data(paths.two), guest(digests.twoBig), true),
    usual('own path, an image taken over', era.data(paths.adopted), guest(digests.adopted), true),
    usual("another site's path", era.data(paths.two), right, false),
    usual("another site's digest on the own path", own, guest(digests.two), false),
    usual('a digest of nobody', own, guest(digests.nobodys), false),
    usual('a retired image', era.data(paths.retired), guest(digests.retired), false),
    usual("a retired image on another's path", own, guest(digests.retired), false),
    usual('an active image on the path of a retired one', era.data(paths.retired), right, false),
    usual('a path of nobody', era.data('keys/root/none'), right, false),
    usual('another plugin', era.data(paths.one, 'pkcs11'), right, false),
    usual('the plugin in capitals', era.data(paths.one, 'Resource'), right, false),
    usual('two segments', era.data('keys/root'), right, false),
    usual('four segments', era.data(`${paths.one}/x`), right, false),
    usual('an empty segment in front', era.data(`/${paths.one}`), right, false),
    usual('an empty segment at the end', era.data(`${paths.one}/`), right, false),
    usual('the path in capitals', era.data(paths.one.toUpperCase()), right, false),
    usual('an empty path', era.data(''), right, false),
    // The digest.
    usual('the other encoding', own, token({ snp: snp(otherEncoding(era, digests.one)) }), true),
    usual('a digest in capitals', own, claims({ measurement: measurement.toUpperCase() }), false),
    usual('a digest cut short', own, claims({ measurement: measurement.slice(0, -1) }), false),
    usual('a digest and a blank', own, claims({ measurement: `${measurement} ` }), false),
    usual('a list with the digest', own, claims({ measurement: [measurement] }), false),
    usual('an object with the digest', own, claims({ measurement: { [measurement]: measurement } }), false),
    usual('an empty digest', own, claims({ measurement: '' }), false),
    usual('a digest of null', own, claims({ measurement: null }), false),
    usual('a digest of true', own, claims({ measurement: true }), false),
    usual('a digest that is a number', own, claims({ measurement: 1 }), false),
    usual('no digest', own, claims({ measurement: undefined }), false),
    // The guest's policy.
    ...['policy_debug_allowed', 'policy_migrate_ma'].flatMap((claim) => [
      usual(`${claim} true`, own, claims({ [claim]: true }), false),
      usual(`${claim} as text`, own, claims({ [claim]: 'false' }), false),
      usual(`${claim} 0`, own, claims({ [claim]: 0 }), false),
      usual(`${claim} null`, own, claims({ [claim]: null }), false),
      usual(`${claim} absent`, own, claims({ [claim]: undefined }), false),
    ]),
    // The evidence around them.
    usual('sample evidence', own, token({ sample: { svn: '1', launch_digest: 'abcde' } }), false),
    usual('sample evidence that says what SNP would', own, token({ sample: snp(measurement) }), false),
    usual('TDX evidence that says what SNP would', own, token({ tdx: snp(measurement) }), false),
    usual('the claims beside snp', own, token({ ...snp(measurement), snp: {} }), false),
    usual('snp null', own, token({ snp: null }), false),
    usual('snp a list', own, token({ snp: [snp(measurement)] }), false),
    usual('affirming, and a digest of nobody', own, affirming(era.text(digests.nobodys)), false),
    usual('affirming', own, affirming(measurement), true),
    usual('the claims of another device', own, { submods: { gpu0: right.submods.cpu0 } }, false),
    usual('another device besides', own, { submods: { ...right.submods, gpu0: {} } }, true),
    usual('the claims without their frame', own, snp(measurement), false),
    usual('an empty token', own, {}, false),
    usual('a token of null', own, null, false),
    // Lowest TCB; the claims are at it unless changed.
    tcb('exactly the minimum', {}, true),
    tcb(
      'everything above the minimum',
      {
        ...{ reported_tcb_bootloader: 5, reported_tcb_tee: 1 },
        ...{ reported_tcb_snp: 23, reported_tcb_microcode: 255 },
      },
      true,
    ),
    tcb('bootloader below', { reported_tcb_bootloader: 3 }, false),
    tcb('tee below', { reported_tcb_tee: -1 }, false),
    tcb('snp below', { reported_tcb_snp: 21 }, false),
    tcb('microcode below', { reported_tcb_microcode: 212 }, false),
    tcb('microcode below, all else above', { reported_tcb_snp: 255, reported_tcb_microcode: 99 }, false),
    tcb('snp as text', { reported_tcb_snp: '22' }, false),
    tcb('snp as the text 255', { reported_tcb_snp: '255' }, false),
    tcb('tee as text, before v0.14', { reported_tcb_tee: '0' }, false),
    tcb('snp null', { reported_tcb_snp: null }, false),
    tcb('snp true', { reported_tcb_snp: true }, false),
    tcb('snp a list', { reported_tcb_snp: [22] }, false),
    tcb('snp an object', { reported_tcb_snp: {} }, false),
    tcb('bootloader absent', { reported_tcb_bootloader: undefined }, false),
    tcb('enough TCB, debugging allowed', { policy_debug_allowed: true }, false),
    make('tcb', "enough TCB, another site's path", era.data(paths.two), right, false),
    make('tcb of one part', 'at it, the others absent', own, claims(noTcbBut('snp', 22)), true),
    make('tcb of one part', 'below it, the others above', own, claims(tcbOf(255, { snp: 21 })), false),
    make('usual', 'no minimum, no TCB claimed', own, claims(noTcbBut()), true),
    // Registries of other sizes.
    make('no images', 'any image', own, right, false),
    make('no images', 'no claims at all', own, {}, false),
    make('retired only', 'the retired image', era.data(paths.retired), guest(digests.retired), false),
    make('one image', 'the image', own, right, true),
    make('one image', 'another', era.data(paths.two), guest(digests.two), false),
    make('1,000 images', 'the first', era.data(first.path), guest(first.digest), true),
    make('1,000 images', 'the last', era.data(last.path), guest(last.digest), true),
    make(
      '1,000 images',
      'the last on the path of the first',
      era.data(first.path),
      guest(last.digest),
      false,
    ),
    make(
      '1,000 images',
      'the first, debugging allowed',
      era.data(first.path),
      debugged(era, first.digest),
      false,
    ),
    make('1,000 images', 'one more', era.data(ofThousand(1001).path), guest(ofThousand(1001).digest), false),
    make('long names', 'the longest name', own, right, true),
    make('long names', 'the longest path', era.data(longestPath), guest(digests.retired), true),
    make('long names', 'another path', era.data(paths.two), right, false),
    // An administrator's own rules.
    make('rules around', 'own path', own, right, true),
    make('rules around', "another site's path", era.data(paths.two), right, false),
    make('rules around', 'migration allowed', own, claims({ policy_migrate_ma: true }), false),
    make('rules around', 'sample evidence', own, token({ sample: {} }), false),
    make('no default', 'own path', own, right, true),
    make('no default', "another site's path", era.data(paths.two), right, false),
    make('no default', 'sample evidence', own, token({ sample: {} }), false),
  ];
}

const longestPath = ['r', 't', 'g'].map((letter) => letter.repeat(255)).join('/');

/** `data` that is neither era's, or half of one. None of it may open anything, whatever the claims are. */
function oddData(): Case[] {
  const input = token({ snp: snp(digests.one.hex) });
  const segments = paths.one.split('/');
  const rows: [string, unknown][] = [
    ['no data', {}],
    ['a plugin without a path', { plugin: 'resource' }],
    ['a list without a plugin', { 'resource-path': segments }],
    ['a list and a plugin of null', { plugin: null, 'resource-path': segments }],
    ['a list of plugins', { plugin: ['resource'], 'resource-path': segments }],
    ['a path of null', { plugin: 'resource', 'resource-path': null }],
    ['a path that is a number', { plugin: 'resource', 'resource-path': 1 }],
    ['a path that is an object', { plugin: 'resource', 'resource-path': { 0: 'keys' } }],
    ['an empty list', { plugin: 'resource', 'resource-path': [] }],
    ['the plugin in the list', { plugin: 'resource', 'resource-path': ['resource', ...segments] }],
    ['a path of text without its plugin', { 'resource-path': paths.one }],
    [
      'a path of text without its plugin, which is told apart',
      { plugin: 'resource', 'resource-path': paths.one },
    ],
    ['a path of text with a slash in front', { 'resource-path': `/resource/${paths.one}` }],
    ['a list in a list', { plugin: 'resource', 'resource-path': [segments] }],
    [
      'two segments in one of a list',
      { plugin: 'resource', 'resource-path': [segments.slice(0, 2).join('/'), segments[2]!] },
    ],
  ];
  return rows.map(([title, data]): Case => ({ title, policy: 'usual', data, input, released: false }));
}

/** The plugin that an administrator's own rule is about. */
function ownRules(): Case[] {
  const data = asList('slot/key/id', 'pkcs11');
  const policy = 'rules around' as const;
  return [
    {
      title: "an administrator's rule still releases what it did",
      policy,
      data,
      released: true,
      input: affirming(digests.nobodys.hex),
    },
    {
      title: "an administrator's rule still denies what it did",
      policy,
      data,
      released: false,
      input: token({ snp: snp(digests.one.hex) }),
    },
  ];
}

/** v0.17 asks as later releases do and writes digests as earlier ones did. */
function between(): Case[] {
  const guest = token({ snp: snp(digests.one.base64) });
  return [
    { title: 'v0.17: own path', policy: 'usual', data: asList(paths.one), input: guest, released: true },
    {
      title: "v0.17: another site's path",
      policy: 'usual',
      data: asList(paths.two),
      input: guest,
      released: false,
    },
  ];
}

/** The whole table. */
export const cases: readonly Case[] = [...eras.flatMap(casesOf), ...oddData(), ...ownRules(), ...between()];
