import type { ImageRecord } from '../../kbs/index.ts';
import { digestEncodings } from '../../kbs/policy/index.ts';
import { oneLine } from '../../report/text.ts';
import { commandPlace, type DirectoryFlags } from './directory.ts';
import { findImage } from './image.ts';

export interface ShowFlags extends DirectoryFlags {
  json?: boolean;
}

/** `cvm policy show ID`: everything that the registry knows about one image. */
export async function showCommand(id: string, flags: ShowFlags): Promise<void> {
  const { directory } = await commandPlace(flags);
  const { image } = await findImage(directory, id);
  process.stdout.write(flags.json ? `${JSON.stringify(image, null, 2)}\n` : imageText(image));
}

/** A record for people: both encodings of each digest, with what it was computed from. */
export function imageText(image: ImageRecord): string {
  const fields = {
    id: image.id,
    name: image.name,
    project: image.project,
    role: image.role,
    status: image.status,
    kind: image.kind,
    'resource path': image.resourcePath,
    [image.adopted === undefined ? 'built' : 'adopted']: image.builtAt,
    'key file': image.keyFile,
    'earlier key': image.previous && `${image.previous.resourcePath}, ${image.previous.status}`,
  };
  const lines = Object.entries(fields)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([name, value]) => `${name.padEnd(14)} ${oneLine(value)}`);
  const encodings = (hex: string) => [`  hex    ${hex}`, `  base64 ${digestEncodings(hex).base64}`];
  for (const { vcpus, cpu, guestFeatures, firmwareSha256, hex } of image.digests) {
    const origin = `${vcpus} vCPUs, ${oneLine(cpu)}, guest features ${guestFeatures}`;
    lines.push('', `launch digest for ${origin}, firmware ${firmwareSha256}`, ...encodings(hex));
  }
  for (const hex of image.adopted?.digests ?? []) {
    lines.push('', "launch digest from an older builder's policy; what it was computed from is not known");
    lines.push(...encodings(hex));
  }
  return `${lines.join('\n')}\n`;
}
