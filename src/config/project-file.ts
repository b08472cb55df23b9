import { z } from 'zod';
import { check, type Rule } from './check.ts';
import { described } from './guidance.ts';
import { type Problem, show } from './problem.ts';
import { listOf, mapOf } from './shapes.ts';
import { path } from './values.ts';

/** A participant's name becomes a folder of the workspace, so nothing that climbs or hides is taken. */
const participant = described(
  z.object({
    name: described(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$/),
      'Name of the participant.',
      'letters, digits, ".", "_", "-" and "@", beginning with a letter or digit',
    ),
    cc_config: path("The participant's cc_config file, where it runs in a confidential VM.").optional(),
  }),
  'A participant.',
  'a map with name, type and org',
);

/** What the builder reads of FLARE's project.yml; FLARE owns the file, and all else in it is FLARE's alone. */
const projectSchema = z.object({
  name: described(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$/),
    'Name of the project.',
    'letters, digits, blanks, ".", "_" and "-", beginning with a letter or digit',
  ),
  participants: described(z.array(participant).min(1), 'Who takes part.', 'a list of participants'),
});

/** A FLARE project: its name, and the participants that run in a confidential VM. */
export interface ProjectFile {
  name: string;
  /** In the file's order. `ccConfig` is as written: see `resolvePath`. */
  sites: { name: string; ccConfig: string }[];
}

/**
 * Reads FLARE's project.yml.
 * @param text the file's content
 * @param file its name in messages
 * @returns `project` exactly when there are no errors
 */
export function parseProjectFile(text: string, file: string): { project?: ProjectFile; errors: Problem[] } {
  // Its warnings are of keys that are FLARE's.
  const { values, errors } = check(text, file, projectSchema, [noneTwice]);
  if (values === undefined) return { errors };
  const sites = values.participants.flatMap(({ name, cc_config }) =>
    cc_config === undefined ? [] : [{ name, ccConfig: cc_config }],
  );
  return { project: { name: values.name, sites }, errors };
}

/** Two participants of one name would have one kit. */
const noneTwice: Rule = ({ participants }) => {
  const names = listOf(participants).map((each) => mapOf(each).name);
  return names.flatMap((name, index) => {
    if (name === undefined || names.indexOf(name) === index) return [];
    const message = `participants[${index}].name is ${show(name)}: another participant has that name`;
    return [{ path: ['participants', index, 'name'], message }];
  });
};
