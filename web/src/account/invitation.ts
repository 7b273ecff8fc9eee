import { create } from "zustand";
import { tokenOf } from "../route";

/** The registration or setup token that this page was opened with; in memory only. */
export const useInvitation = create<{ token: string }>(() => ({ token: "" }));

/** Take a token out of the address bar at once, before it gets into the history, a bookmark or a screenshot; now, and
 * whenever such a link is opened in this tab. Returns what ends that. */
export function takeInvitations(): () => void {
  const take = () => {
    const found = tokenOf(location.hash);
    if (!found) return;
    if (found.token) useInvitation.setState({ token: found.token });
    history.replaceState(history.state, "", found.hash);
  };
  take();
  // First in line: whoever reads the address after us finds it clean.
  window.addEventListener("hashchange", take, true);
  return () => window.removeEventListener("hashchange", take, true);
}
