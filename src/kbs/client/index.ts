/** The administrator's side of a KBS over HTTP: push, check, removal of keys. */
export { defaultIdentity } from './admin-token.ts';
export { check } from './check.ts';
export { type AdminCredential, readCredential } from './credential.ts';
export type { Finding, FindingId } from './finding.ts';
export { type FirstContact, firstContact } from './first-contact.ts';
export { type Kbs, type KbsOptions, openKbs } from './kbs.ts';
export { destroyKeyFile, destroyKeyFiles, findKeyFiles } from './key-files.ts';
export { type Pushed, type PushInput, push } from './push.ts';
export { describePush, type PushPlan, planPush, productionRegistry } from './push-plan.ts';
export { pushScriptName, runPushScript } from './push-script.ts';
export { pushTurn } from './push-turn.ts';
export { refuseUnsafe } from './refuse-unsafe.ts';
export { type KeyRemoval, removeKey } from './remove-key.ts';
