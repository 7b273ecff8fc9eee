import { useQueryClient } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { keys } from "../api/queries";
import { routeOf } from "../route";

/** After a login: go where he wanted to go. */
export function useEnter(): () => void {
  const client = useQueryClient();
  const [path, navigate] = useLocation();
  return () => {
    // It tells more to who is known.
    void client.invalidateQueries({ queryKey: keys.about });
    const { page } = routeOf(path);
    if (page !== "chat" && page !== "account") navigate("/", { replace: true });
  };
}
