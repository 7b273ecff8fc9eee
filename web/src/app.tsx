import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState } from "react";
import { Redirect, Router } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { watchSession, whoAmI } from "./api/auth";
import { useAuth } from "./api/http";
import { queryClient } from "./api/queries";
import { Frame } from "./frame/frame";
import { Splash } from "./frame/splash";
import { type Route, routeOf } from "./route";
import { ErrorBoundary, StatusRegion, Toasts, Tooltips } from "./ui";

const Entrance = lazy(() => import("./account/entrance"));

/** The whole page. */
export function App() {
  return (
    <QueryClientProvider client={queryClient}>
      <Router hook={useHashLocation}>
        <ErrorBoundary>
          <Gate />
        </ErrorBoundary>
        <StatusRegion />
        <Toasts />
        <Tooltips />
      </Router>
    </QueryClientProvider>
  );
}

/** Lets in who is logged in, and shows everybody else how to get in. */
function Gate() {
  const state = useAuth((auth) => auth.state);
  const [error, setError] = useState<unknown>(null);
  const [path] = useHashLocation();
  const ask = () => {
    setError(null);
    whoAmI().catch(setError);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked once
  useEffect(() => {
    const end = watchSession();
    ask();
    return end;
  }, []);
  if (state === "unknown") return <Splash error={error} onRetry={ask} />;
  const route = routeOf(path);
  if (state === "in") return <Inside route={route} />;
  return (
    <Suspense fallback={<Splash />}>
      <Entrance route={route} />
    </Suspense>
  );
}

function Inside({ route }: { route: Route }) {
  if (route.page === "login" || route.page === "register" || route.page === "setup") return <Redirect to="/" replace />;
  return <Frame route={route} />;
}
