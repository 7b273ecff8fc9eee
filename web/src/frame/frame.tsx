import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Sidebar } from "../conversations/sidebar";
import { usePreferences } from "../options/preferences";
import { run, useCommand, useShortcuts } from "../options/shortcuts";
import { ShortcutsDialog } from "../options/shortcuts-dialog";
import type { Route } from "../route";
import { Empty, ErrorBoundary, Skeleton } from "../ui";
import { useMedia } from "../ui/media";
import { Brand } from "./brand";
import { Drawer } from "./drawer";
import { Header } from "./header";
import { useRoom } from "./room";
import { UserMenu } from "./user-menu";
import "./frame.css";

const Chat = lazy(() => import("../chat/chat").then(({ Chat }) => ({ default: Chat })));
const Account = lazy(() => import("../account/account"));

/** Narrower than this, the sidebar is a drawer. */
const NARROW = "(width < 800px)";

/** The page of who is logged in: the sidebar, the header, and what the route asks for. */
export function Frame({ route }: { route: Route }) {
  const isNarrow = useMedia(NARROW);
  const wanted = usePreferences((preferences) => preferences.sidebar);
  const [drawer, setDrawer] = useState(false);
  const main = useRef<HTMLElement>(null);
  useShortcuts();
  useRoom();
  useEffect(() => {
    if (!isNarrow) setDrawer(false);
  }, [isNarrow]);
  const open = isNarrow ? drawer : wanted;
  const setOpen = (next: boolean) => {
    if (isNarrow) setDrawer(next);
    else usePreferences.setState({ sidebar: next });
  };
  useCommand("search", () => {
    if (open) return;
    setOpen(true);
    // The field can take the focus when it is in sight.
    requestAnimationFrame(() => run("search"));
  });
  const side = <Side isDrawer={isNarrow} onClose={() => setOpen(false)} />;
  return (
    <div className="frame">
      <button type="button" className="frame-skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      {isNarrow ? (
        <Drawer open={drawer} onClose={() => setDrawer(false)}>
          {side}
        </Drawer>
      ) : (
        <aside className="frame-aside" data-open={wanted} inert={!wanted}>
          {side}
        </aside>
      )}
      <div className="frame-page">
        <Header hasSidebar={open && !isNarrow} isNarrow={isNarrow} onOpen={() => setOpen(true)} />
        <main ref={main} className="frame-main" tabIndex={-1}>
          <ErrorBoundary key={route.page}>
            <Suspense fallback={<Loading />}>
              <Content route={route} />
            </Suspense>
          </ErrorBoundary>
        </main>
      </div>
      <ShortcutsDialog />
    </div>
  );
}

function Side({ isDrawer, onClose }: { isDrawer: boolean; onClose: () => void }) {
  return (
    <div className="frame-side">
      <Brand isDrawer={isDrawer} onClose={onClose} />
      <div className="frame-list">
        <Sidebar {...(isDrawer ? { onNavigate: onClose } : {})} />
      </div>
      <UserMenu {...(isDrawer ? { onNavigate: onClose } : {})} />
    </div>
  );
}

function Content({ route }: { route: Route }) {
  if (route.page === "chat") return <Chat conversationId={route.conversation} />;
  if (route.page === "account") return <Account part={route.part} />;
  return (
    <Empty title="There is no such page">
      The link may be old. Choose a conversation in the sidebar, or begin a new one.
    </Empty>
  );
}

function Loading() {
  return (
    <div className="frame-loading">
      <Skeleton lines={5} />
    </div>
  );
}
