import { completeBase } from '../../base/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { templatePath } from '../../host/template.ts';
import { openReport } from '../../report/report.ts';
import { type BaseSubjectFlags, baseSubject } from './subject.ts';

/** `cvm base complete`: what it makes is used by every later build from that base. */
export async function completeCommand(named: string | undefined, flags: BaseSubjectFlags): Promise<void> {
  using interruption = handleSignals();
  const { signal } = interruption;
  const report = await openReport();
  try {
    const { cache, base } = await baseSubject(named, flags, signal);
    const whole = await completeBase({
      cache,
      base,
      recipe: templatePath('base'),
      signal,
      progress: (text) => report.note(text),
    });
    if (whole === undefined) await report.result(`nothing is missing in the base ${base.id.slice(0, 12)}`);
    else {
      report.note(whole.origin);
      await report.result(
        `base ${whole.id.slice(0, 12)} takes the place of ${base.id.slice(0, 12)} in later builds`,
      );
    }
  } catch (error) {
    process.exitCode = await report.fail(error);
  }
}
