import type { ReactNode } from "react";
import { Redirect } from "wouter";
import { useAbout } from "../api/queries";
import type { About } from "../api/types";
import { Mark } from "../frame/brand";
import type { Route } from "../route";
import { Failure, Spinner } from "../ui";
import { Login } from "./login";
import { NoCookies } from "./no-cookies";
import { Register } from "./register";
import { Setup } from "./setup";
import "./entrance.css";

/** What is shown to who is not logged in: the login, wherever he wanted to go, or how to get an account. */
export default function Entrance({ route }: { route: Route }) {
  const about = useAbout();
  if (about.data) return <Door about={about.data} route={route} recheck={() => void about.refetch()} />;
  return (
    <Card title="llmgate">
      {about.error ? (
        <Failure error={about.error} onRetry={() => void about.refetch()} />
      ) : (
        <div className="entrance-wait">
          <Spinner large label="Loading" />
        </div>
      )}
    </Card>
  );
}

function Door({ about, route, recheck }: { about: About; route: Route; recheck: () => void }) {
  if (!about.cookies) {
    return (
      <Card title="Nobody can log in here yet">
        <NoCookies recheck={recheck} />
      </Card>
    );
  }
  if (about.setup_needed && route.page !== "setup") return <Redirect to="/setup" replace />;
  if (route.page === "setup") {
    return (
      <Card title="Set up llmgate">
        <Setup about={about} />
      </Card>
    );
  }
  if (route.page === "register") {
    return (
      <Card title="Create your account">
        <Register about={about} />
      </Card>
    );
  }
  return (
    <Card title="Log in">
      <Login about={about} />
    </Card>
  );
}

function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="entrance">
      <div className="entrance-card">
        <Mark size={40} />
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}
