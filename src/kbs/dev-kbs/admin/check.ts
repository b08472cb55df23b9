import { type Context, secondsOf } from '../context.ts';
import type { KbsRequest } from '../request.ts';

/** Lets administrators pass, as the era tells them. @throws Refusal `AdminAuth` */
export function checkAdmin(context: Context, request: KbsRequest): void {
  const { admin, era } = context;
  if (admin.insecureApi) return;
  era.checkAdmin(request.authorization, admin, secondsOf(context), request.uri);
  request.who = 'admin';
}
