import { create } from "zustand";
import { inTab } from "../api/tab-storage";
import { routeOf, tokenOf } from "../route";

const KEY = "llmgate.invitation";

/** The registration or setup token that this page was opened with. */
export const useInvitation = create<{ token: string }>(() => ({ token: "" }));

/** It is used up. */
export function forgetInvitation(): void {
  useInvitation.setState({ token: "" });
  inTab((storage) => storage.removeItem(KEY));
}

/** Take a token out of the address bar at once, before it gets into the history, a bookmark or a screenshot; now, and
 * whenever such a link is opened in this tab. So that a reload does not lose it, it is kept with the tab as long as the
 * form that needs it is shown. Returns what ends that. */
export function takeInvitations(): () => void {
  const take = () => {
    const found = tokenOf(location.hash);
    if (found) {
      const { token } = found;
      if (token) {
        useInvitation.setState({ token });
        inTab((storage) => storage.setItem(KEY, token));
      }
      history.replaceState(history.state, "", found.hash);
    }
    const { page } = routeOf(location.hash.replace(/^#/, ""));
    if (page !== "register" && page !== "setup") inTab((storage) => storage.removeItem(KEY));
  };
  const token = inTab((storage) => storage.getItem(KEY));
  if (token) useInvitation.setState({ token });
  take();
  // First in line: whoever reads the address after us finds it clean.
  window.addEventListener("hashchange", take, true);
  return () => window.removeEventListener("hashchange", take, true);
}
