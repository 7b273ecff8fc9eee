import MessageCircleDashed from "lucide-react/icons/message-circle-dashed";
import { useAbout, useMe } from "../api/queries";
import { usePreferences } from "../options/preferences";
import type { View } from "./view";

/** A chat in which nothing was said. */
export function Welcome({ view }: { view: View }) {
  const me = useMe();
  const keeps = useAbout().data?.conversations ?? true;
  if (view.models?.length === 0) return <NoModels />;
  return (
    <div className="welcome">
      <h1>{me ? `Hello, ${me.name}` : "Hello"}</h1>
      {view.isTemporary ? <Temporary keeps={keeps} /> : <p className="welcome-lead">Write a message to begin.</p>}
      <Hints />
    </div>
  );
}

function Temporary({ keeps }: { keeps: boolean }) {
  return (
    <p className="welcome-temporary">
      <MessageCircleDashed aria-hidden="true" />
      <span>
        <strong>{keeps ? "This is a temporary chat." : "Nothing is kept here."}</strong> It is in no list, and gone when
        you leave or reload the page.
      </span>
    </p>
  );
}

function Hints() {
  const sendKey = usePreferences((preferences) => preferences.sendKey);
  const isEnter = sendKey === "enter";
  return (
    <ul className="welcome-hints">
      <li>
        <kbd>{isEnter ? "Enter" : "Ctrl+Enter"}</kbd> sends, <kbd>{isEnter ? "Shift+Enter" : "Enter"}</kbd> makes a new
        line
      </li>
      <li>
        <kbd>Esc</kbd> stops an answer, or takes you out of the line
      </li>
      <li>
        <kbd>?</kbd> lists all keys
      </li>
    </ul>
  );
}

function NoModels() {
  return (
    <div className="welcome">
      <h1>No model is there</h1>
      <p className="welcome-lead">
        There is none that you may use, or none of the servers behind this gateway answers. Whoever runs it can tell.
      </p>
    </div>
  );
}
