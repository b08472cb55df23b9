import type { Check, Finding } from '../../bundle/index.ts';
import type { Inside } from '../inside.ts';

const subject = 'initrd.img';

/** What the initrd seals against what the manifest says of it: the VM goes by the initrd. */
export const sealedCheck = ({ sealed }: Inside): Check => ({
  name: 'sealed settings',
  run({ manifest }): Finding[] {
    if ('problem' in sealed) {
      const text = `cannot be looked into: ${sealed.problem}`;
      return [{ subject, severity: 'failure', text }];
    }
    const { settings } = sealed.value;
    const fields = [
      ['id', manifest.id, settings.cvm_id],
      ['kind', manifest.kind, settings.kind],
      ['command line', manifest.launch.cmdline, settings.cmdline],
      ['key broker', manifest.kbs.url, settings.kbs_url],
      ['resource path', manifest.kbs.resource, settings.kbs_path],
    ] as const;
    return fields.flatMap(([field, expected, found]): Finding[] =>
      expected === found
        ? []
        : [
            {
              subject: field,
              severity: 'failure',
              text: 'is not the same in manifest.json (expected) and in the initrd (found)',
              file: subject,
              expected,
              found,
              consequence: 'the VM goes by the initrd',
            },
          ],
    );
  },
});
