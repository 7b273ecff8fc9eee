import TriangleAlert from "lucide-react/icons/triangle-alert";
import { Button } from "../ui";

/** Sessions are kept in cookies, and those are not sent in clear through a network unless the operator says so. */
export function NoCookies({ recheck }: { recheck: () => void }) {
  const here = `https://${location.host}`;
  return (
    <>
      <div className="ui-note is-warning">
        <TriangleAlert aria-hidden="true" />
        <div className="ui-note-text">
          <p>This page was opened over plain http, where a session could be read by others on the network.</p>
        </div>
      </div>
      <div className="entrance-text">
        <p>The operator of this gateway can change that in its configuration, in one of two ways:</p>
        <ul>
          <li>
            Serve it over https, and say under which address:
            <pre>{`[server]\npublic_url = "${here}"`}</pre>
          </li>
          <li>
            In a network that is trusted, allow it over http too:
            <pre>{"[server]\nallow_insecure_cookies = true"}</pre>
          </li>
        </ul>
        <p>Then restart the gateway. API keys work in any case.</p>
      </div>
      <Button onClick={recheck}>Check again</Button>
    </>
  );
}
