import { auditLines } from './audit.ts';
import { editDrive } from './drives.ts';
import type { Vm } from './harness.ts';

/** Boots with a stage of the audit, and gives what was new in its logs. */
export async function stage(vm: Vm, name: string, networkOptions: string[] = []) {
  const userData = vm.file('user_data.qcow2');
  const staged = stages.has(vm);
  stages.add(vm);
  await editDrive(userData, [...(staged ? ['rm /stage'] : []), 'write stage /stage'], { stage: `${name}\n` });
  const before = { boot: (await vm.log('boot.log')) ?? '', audit: (await auditLines(vm)).length };
  const end = await vm.boot({ hostile: { networkOptions } }).catch((error: unknown) => error as Error);
  return {
    end,
    log: ((await vm.log('boot.log')) ?? '').slice(before.boot.length),
    said: (await auditLines(vm)).slice(before.audit),
  };
}
const stages = new WeakSet<Vm>();
